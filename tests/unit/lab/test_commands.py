"""The lab's commands, as far as they need no root."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bootd.cli.context import cache_dir, program
from bootd.cli.demo import next_commands, print_step
from bootd.cli.main import run
from bootd.lab import Lab
from bootd.lab.process import Process, identify
from bootd.model import Observation


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """`bootd lab up` takes SIGTERM and SIGHUP over; pytest gets them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_what_to_type_next_names_the_labs_configuration_and_machines(tmp_path: Path) -> None:
    text = next_commands(Lab("one", root=tmp_path), ["a", "b"])
    assert f"export BOOTD_CONFIG={tmp_path}/one/bootd.toml" in text
    assert "bootd boot a,b memory:hello" in text
    assert "bootd lab boot a b --follow" in text
    assert "bootd lab down --name one" in text


def test_who_came_by_sudo_is_told_of_a_root_shell_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert "sudo -s" not in next_commands(Lab("one", root=tmp_path), [])
    monkeypatch.setenv("SUDO_USER", "anna")
    assert next_commands(Lab("one", root=tmp_path), []).startswith("  sudo -s ")


def test_what_to_type_next_works_in_the_shell_it_is_printed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "bin/bootd"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(command), "lab", "up"])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert program() == str(command)
    monkeypatch.setenv("PATH", str(command.parent))
    assert program() == "bootd"
    monkeypatch.setattr("sys.argv", ["/x/bootd/__main__.py"])
    assert program() == "bootd"


def test_a_demo_that_runs_is_not_taken_down_by_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Lab("demo", root=tmp_path)
    with lab.run.change() as state:
        state.maker = identify(os.getpid())
    monkeypatch.setattr("bootd.lab.needs.check", lambda: None)
    monkeypatch.setattr("bootd.lab.Lab", lambda name: lab)
    assert run(["lab", "demo"]) == 1
    assert capsys.readouterr().err == (
        f"bootd: the lab 'demo' is in use by process {os.getpid()}: wait for it, or choose another --name\n"
    )
    assert lab.run.exists


def test_status_of_a_lab_is_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Lab("one", root=tmp_path)
    with lab.run.change() as state:
        state.servers["site"], state.loss = Process(os.getpid(), 1), 5.0
    monkeypatch.setattr("bootd.lab.needs.check_root", lambda: None)
    monkeypatch.setattr("bootd.lab.Lab", lambda name: lab)
    assert run(["lab", "status", "--name", "one"]) == 0
    assert capsys.readouterr().out == (
        f"one: site gone, 5 % of frames lost, BOOTD_CONFIG={tmp_path}/one/bootd.toml\n"
    )


def test_without_root_a_lab_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run(["lab", "up", "--name", "never"]) == 1
    assert capsys.readouterr().err == (
        "bootd: the lab makes network namespaces and needs root; try it with sudo\n"
    )


def test_a_wrong_machine_is_refused_before_anything_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "up", "--name", "never", "--nodes", "x:arm"]) == 1
    assert "NAME:KIND with KIND one of bios" in capsys.readouterr().err


def test_a_lab_that_is_not_there_is_told_with_how_to_start_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "boot", "n1", "--name", "never"]) == 1
    assert "bootd lab up --name never" in capsys.readouterr().err


def test_packages_and_images_are_kept_where_caches_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/x")
    assert cache_dir() == Path("/var/cache/x/bootd")


def test_a_step_is_printed_with_the_names_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    show = print_step(["a", "long"])
    show(
        Observation(
            at + timedelta(seconds=1.5), "52:54:00:00:00:01", "a", "node.reported", "reported running"
        ),
        at,
    )
    assert capsys.readouterr().out == "   1.5 s  a     reported running\n"


def test_a_lab_has_luns_or_slots_and_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "up", "--luns", "--slots"]) == 2
    assert "one of them" in capsys.readouterr().err
