"""A lab's state goes to disk and comes back whole; names that could leave the folder are refused."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from bootd.errors import BadValue
from bootd.lab import Lab, LabError
from bootd.lab.machines import Kind, NodeSpec
from bootd.lab.process import Process, identify
from bootd.lab.state import Node, RunFolder, State, names, socket_path_fits


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "one")
    node = Node(NodeSpec("a", Kind.UEFI, "52:54:00:00:00:01", "/d.raw"), "tap0", Process(10, 20))
    with folder.change() as state:
        state.loss = 5.0
        state.servers["bootd"] = Process(1, 2)
        state.nodes["a"] = node
        state.maker = Process(3, 4)
    assert RunFolder(tmp_path, "one").load() == State(
        5.0, {"bootd": Process(1, 2)}, {"a": node}, Process(3, 4)
    )
    assert names(tmp_path) == ["one"]


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "one")
    with folder.change() as state:
        state.loss = 1.0
    with suppress(RuntimeError), folder.change() as state:
        state.loss = 2.0
        raise RuntimeError
    assert folder.load().loss == 1.0


def test_a_lab_that_is_not_there_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no lab 'one'; start it: bootd lab up --name one"):
        RunFolder(tmp_path, "one").load()


@pytest.mark.parametrize("name", ["", "..", "a/b", "UP", "x" * 21, "-a", "a-", "a b"])
def test_a_name_that_is_no_part_of_a_namespace_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadValue):
        RunFolder(tmp_path, name)


def test_a_socket_path_of_108_octets_is_too_long() -> None:
    assert socket_path_fits(Path("/" + "x" * 106))
    assert not socket_path_fits(Path("/" + "x" * 107))


def test_a_lab_has_a_maker_for_as_long_as_that_process_lives(tmp_path: Path) -> None:
    lab = Lab("one", root=tmp_path)
    assert lab.maker is None
    ours = identify(os.getpid())
    with lab.run.change() as state:
        state.maker = ours
    assert lab.maker == ours
    with lab.run.change() as state:
        state.maker = Process(os.getpid(), 1)  # another process had this pid before us
    assert lab.maker is None
