"""Serial logs as clean lines, and waiting for what a machine says."""

from pathlib import Path

import pytest

from bootd.lab import NotArrived
from bootd.lab.console import ConsoleLog, Line, clean, read_log, wait_for


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


SEABIOS = "\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2)\r"
BUSYBOX = "n1:/# \x1b[6nBOOTD-REPORTED"  # its shell asks where the cursor is
# SeaBIOS moves the cursor where a tick of its timer falls between two letters: busy hosts see it in any word
TICKS = "S\r\x1b[06;02HLOT-STARTED in hd0,m\x1b[06;27H\x1b[06;28Hsdos7\r"
OVMF = "\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: loading"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        pytest.param(SEABIOS, "SeaBIOS (version 1.16.2)", id="seabios"),
        pytest.param(TICKS, "SLOT-STARTED in hd0,msdos7", id="seabios on a busy host"),
        pytest.param(BUSYBOX, "n1:/# BOOTD-REPORTED", id="busybox"),
        pytest.param(OVMF, "BdsDxe: loading", id="ovmf"),
        pytest.param("plain  ", "plain", id="trailing blanks"),
    ],
)
def test_terminal_commands_of_the_firmware_are_taken_out(raw: str, text: str) -> None:
    assert clean(raw) == text


def test_a_word_is_not_torn_by_a_carriage_return_in_it(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(f"before\r\n{TICKS}\nlast".encode())
    log = ConsoleLog(path)
    log.poll()
    assert log.text == read_log(path) == "before\nSLOT-STARTED in hd0,msdos7\nlast"


def test_lines_carry_the_time_since_power_on(tmp_path: Path) -> None:
    path, clock = tmp_path / "console", Clock()
    log = ConsoleLog(path, clock)
    log.restart()
    clock.now += 2.5
    path.write_bytes(b"one\r\n\r\ntw")
    assert log.poll() == [Line(2.5, "one")]
    clock.now += 1
    with path.open("ab") as out:
        out.write(b"o\nprompt")
    assert log.poll() == [Line(3.5, "two")]
    assert log.text == "one\ntwo\nprompt"
    assert log.poll() == []


def test_a_restart_forgets_what_was_said_before(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"BOOTD-READY first\n")
    log = ConsoleLog(path)
    log.restart()
    with path.open("ab") as out:
        out.write(b"second\n")
    log.poll()
    assert log.text == "second\n"


def test_bytes_that_are_no_text_do_not_stop_the_log(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"\xff\xfeok\n")
    log = ConsoleLog(path)
    log.poll()
    assert "ok" in log.text


def test_waiting_finds_what_was_said_already_on_an_unfinished_line(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"boot\nlogin: ")
    assert wait_for(ConsoleLog(path), "n1", "log(in)", 0, lambda: True).group(1) == "in"


def test_what_never_comes_is_told_with_the_end_of_the_console(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"No bootable device.\n")
    with pytest.raises(NotArrived, match=r"n1: 'READY'.*\n.*No bootable device\.") as caught:
        wait_for(ConsoleLog(path), "n1", "READY", 0, lambda: True)
    assert caught.value.node == "n1"


def test_a_machine_that_never_spoke_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(NotArrived, match=r"\(nothing\)"):
        wait_for(ConsoleLog(tmp_path / "none"), "n1", "READY", 0, lambda: True)


def test_a_machine_that_is_off_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(NotArrived, match="within 0 s"):
        wait_for(ConsoleLog(tmp_path / "none"), "n1", "READY", 3600, lambda: False)


def test_the_last_words_of_a_machine_that_is_off_count(tmp_path: Path) -> None:
    (tmp_path / "console").write_bytes(b"READY\n")
    assert wait_for(ConsoleLog(tmp_path / "console"), "n1", "READY", 0, lambda: False)
