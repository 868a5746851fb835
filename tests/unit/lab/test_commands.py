"""The lab's commands, as far as they need no root."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bootd.cli.context import cache_dir
from bootd.cli.demo import print_step
from bootd.cli.lab import next_commands
from bootd.cli.main import run
from bootd.lab import Lab
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
