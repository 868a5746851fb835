"""The demonstration of mesh nodes: what it says in the end, and what it reads from its two commands."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bootd.cli.demo_imaging import next_after_demo, next_with_slots, tell_rows
from bootd.lab import Lab
from bootd.lab.imagingdemo import NAMES, PARTS, Command, Row, Told, rows_of
from bootd.lab.meshes import NODES, SCHEME, A, B
from bootd.model import DeployedNode, JobPart, Outcome
from bootd.services.tasks import WAYS
from tests.helpers.deeds import a_deployment, a_job, a_project, a_reservation, keep
from tests.helpers.site import NOON, memory_store


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("none", root=tmp_path)


def test_each_machine_has_a_part_and_no_machine_has_two() -> None:
    assert sorted(node for nodes in PARTS.values() for node in nodes) == sorted(NAMES)
    assert {image: len(nodes) for image, nodes in PARTS.items()} == {A: 2, B: 1}
    assert len(NODES) == 3
    assert set(SCHEME) == {"--disk", "--last", "--boot-mib", "--swap-mib", "--spare-mib"}


def test_rows_say_by_which_session_a_machine_got_its_image_and_when_it_ran() -> None:
    ways = {
        "mesh1": {"transport": "udpcast", "address": "239.192.0.4", "port": "9008"},
        "mesh2": {"transport": "http"},
    }
    store = memory_store()
    keep(
        store,
        a_project(),
        a_reservation(nodes=("mesh1", "mesh2")),
        a_deployment(nodes=("mesh1", "mesh2")),
        a_job(nodes=("mesh1", "mesh2"), facts={WAYS: ways}),
        DeployedNode(1, "mesh1", "running", device="/dev/vda7", changed_at=after(9)),
        DeployedNode(1, "mesh2", "failed", device="/dev/vda7", changed_at=after(5)),
    )
    with store.transaction("calendar") as change:
        words = {"mesh1": ("verified", after(4)), "mesh2": ("failed", after(5))}
        change.put_job_parts(
            JobPart(1, node, outcome=Outcome.OK, word=word, word_at=at) for node, (word, at) in words.items()
        )
    assert rows_of(store, A, ("mesh1", "mesh2")) == [
        Row("mesh1", A, "239.192.0.4 port 9008", "/dev/vda7", after(4), after(9)),
        Row("mesh2", A, "http", "/dev/vda7", None, None),
    ]


def test_table_has_a_row_for_each_machine_with_the_seconds_since_the_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = Row("mesh1", A, "239.192.0.4 port 9008", "/dev/vda7", after(4), None)
    tell_rows(Told(NOON, rows=[row]))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "mesh1" in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        *("mesh1", A, "239.192.0.4 port 9008", "/dev/vda7", "4.0 s", "-"),
    ]


def test_it_is_whole_when_both_commands_ended_well() -> None:
    assert Told(NOON, dict.fromkeys(PARTS, 0)).is_whole
    assert not Told(NOON, {A: 0, B: 1}).is_whole
    assert not Told(NOON, {A: 0}).is_whole


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_words_of_a_command_are_read_as_they_come_each_once(lab: Lab) -> None:
    command = Command(lab, ("--version",))
    said: list[str] = []

    def ended() -> bool:
        said.extend(command.lines())
        return not command.is_running

    wait_until(ended)
    assert [line.partition(",")[0] for line in said] == ["bootd"]
    assert command.end() == 0


def test_what_to_try_next_names_the_machines_there_are(lab: Lab) -> None:
    said = next_with_slots(lab, ["mesh1", "mesh2"])
    assert f"deploy {A} --nodes mesh1,mesh2" in said
    assert f"deploy {B} --nodes mesh1 " in said
    assert f"lab down --name {lab.name}" in said


def test_after_the_demonstration_nothing_is_told_that_would_be_refused(lab: Lab) -> None:
    said = next_after_demo(lab, list(NAMES))
    assert f"deploy {B} --nodes mesh1 " in said
    assert ",".join(NAMES) not in said  # they are in two reservations
