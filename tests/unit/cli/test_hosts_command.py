"""``bootd hosts add|list|show|set|remove|undo``."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bootd.model import Role
from bootd.services.notify import SOCKET
from tests.helpers.command import Bootd
from tests.helpers.site import a_host

ROOT = Path(__file__).parents[3]
ONE = ("hosts", "add", "node1", "--mac", "52-54-00-00-00-01", "--ip", "10.0.0.1", "--number", "1")
TWO = ("hosts", "add", "node2", "--mac", "52:54:00:00:00:02", "--ip", "10.0.0.2", "--number", "2")


def test_a_host_is_added_with_all_its_options(bootd: Bootd) -> None:
    more = (
        "--role",
        "mesh",
        "--local-boot",
        "/dev/sda1",
        "--group",
        "a",
        "--group",
        "b",
        "--set",
        "rack=4=5",
    )
    assert bootd.good(*ONE, *more).out == "added node1  52:54:00:00:00:01\n"
    expected = a_host(1, role=Role.MESH, local_boot="/dev/sda1", groups=("a", "b"), settings={"rack": "4=5"})
    with bootd.store() as store:
        assert store.hosts() == [expected]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("hosts", "add", "x"), 2, "--mac"),
        (("hosts", "add", "x", "--mac", "nonsense"), 1, "bootd: MAC address: 'nonsense' is not"),
        (("hosts", "add", "x", "--mac", "52:54:00:00:00:01", "--set", "rack"), 2, "is not KEY=VALUE"),
        (("hosts", "add", "x", "--mac", "52:54:00:00:00:01", "--colour", "red"), 2, "No such option"),
        (("hosts", "set", "ghost", "--ip", "10.0.0.1"), 1, "bootd: no host 'ghost'"),
        (("hosts", "set", "ghost"), 2, "nothing to change"),
        (("hosts", "show", "node["), 1, "node set"),
        (("hosts", "remove", "ghost"), 1, "bootd: no host 'ghost'"),
        (("hosts", "undo"), 1, "left to undo"),
        (("hosts", "set", "x", "--local-boot", "/dev/sda", "--no-local-boot"), 2, "contradict"),
        (("hosts", "import", "nowhere"), 1, "nowhere: cannot be read: No such file"),
        (("memory", "show", "ghost"), 1, "bootd memory add ghost"),
        (("boot", "x", "local", "--expires", "1h"), 2, "--expires goes with --once"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    bootd: Bootd, words: tuple[str, ...], status: int, message: str
) -> None:
    ended = bootd(*words)
    assert (ended.status, ended.out) == (status, "")
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_the_list_shows_what_each_boots(bootd: Bootd) -> None:
    bootd.good(*ONE, "--local-boot", "/dev/sda1")
    bootd.good(*TWO, "--group", "g")
    lines = bootd.good("hosts", "list").out.splitlines()
    assert lines[0].split() == ["NAME", "MAC", "IP", "NUMBER", "ROLE", "BOOTS", "GROUPS"]
    assert "local (host table)" in lines[1]
    assert lines[2].split()[-4:] == ["nothing:", "no", "order", "g"]
    assert bootd.good("hosts", "list", "@g").out.count("\n") == 2


def test_an_empty_list_says_how_to_begin(bootd: Bootd) -> None:
    assert "bootd hosts add" in bootd.good("hosts", "list").out
    assert bootd.good("hosts", "list", "--json").json == []


def test_json_has_the_fields_and_what_is_booted(bootd: Bootd) -> None:
    assert bootd.good(*ONE, "--json").json["ip"] == "10.0.0.1"
    [host] = bootd.good("hosts", "list", "--json").json
    assert host["boots"] == {"rule": "nothing-assigned", "target": None}
    assert bootd.good("hosts", "show", "node1", "--json").json == [host]


def test_show_tells_all_that_is_known(bootd: Bootd) -> None:
    bootd.good(*ONE, "--set", "rack=4")
    text = bootd.good("hosts", "show", "node1").out
    for words in ("52:54:00:00:00:01", "rack         4", "rule nothing-assigned", "last seen    never"):
        assert words in text


def test_set_changes_what_is_given_and_says_what_differs(bootd: Bootd) -> None:
    bootd.good(*ONE, "--set", "rack=4", "--group", "a")
    said = bootd.good(
        "hosts", "set", "node1", "--ip", "", "--set", "rack=", "--group", "b", "--remove-group", "a"
    )
    assert said.out == "~ node1  ip 10.0.0.1 → none, groups a → b, rack 4 → none\n"
    assert bootd.good("hosts", "set", "node1", "--no-local-boot").out == "nothing differs\n"


def test_remove_and_undo(bootd: Bootd) -> None:
    bootd.good(*ONE)
    bootd.good("boot", "node1", "local")
    assert bootd.good("hosts", "remove", "node1", "--dry-run").out.startswith("would remove node1")
    assert bootd.good("hosts", "remove", "node1").out == "removed node1  with its order local\n"
    assert "node1: back" in bootd.good("hosts", "undo").out
    assert "local" in bootd.good("hosts", "list").out


def test_every_change_pokes_the_daemon(bootd: Bootd) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(bootd.data / SOCKET))
        daemon.setblocking(False)
        for words in (
            ONE,
            ("hosts", "set", "node1", "--role", "mesh"),
            ("boot", "node1", "local"),
            ("hosts", "undo"),
            ("hosts", "remove", "node1"),
        ):
            bootd.good(*words)
            assert daemon.recv(64), words
        bootd.good("hosts", "list")
        with pytest.raises(BlockingIOError):
            daemon.recv(64)


def _really(bootd: Bootd, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "bootd", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_process_of_its_own_ends_with_the_status(bootd: Bootd) -> None:
    assert _really(bootd, *ONE).returncode == 0
    again = _really(bootd, *ONE)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert _really(bootd, "hosts", "add").returncode == 2


def test_a_reader_that_goes_away_is_no_error(bootd: Bootd) -> None:
    lines = [f"52:54:00:00:{n >> 8:02x}:{n & 255:02x} 10.1.{n >> 8}.{n & 255} {n} no" for n in range(1, 3000)]
    bootd.good("hosts", "import", "-", stdin="\n".join(lines))
    shell = f"{sys.executable} -m bootd hosts export | head -1"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(shell, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
