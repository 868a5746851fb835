"""What goes over tgtd's management socket, and what is made of its listing."""

import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.drivers.lun import LunError, LunRefused, LunUnreachable
from bootd.drivers.lun.broker import link_of
from bootd.drivers.lun.brokered import is_root
from bootd.drivers.lun.tgtd import Login, Said, Target, Tgtd, TgtdError, parse_targets, unless


@pytest.mark.parametrize(
    ("earlier", "later"), [(1, 2), (3, 9), (65535, 1), (60000, 200)], ids=["next", "later", "wrapped", "far"]
)
def test_sessions_of_a_machine_follow_each_other_as_tgtd_counts(earlier: int, later: int) -> None:
    first, second = (
        Login(number, 0, "iqn.2026-01.org.example:node1", "10.0.0.1") for number in (earlier, later)
    )
    assert second.follows(first)
    assert not first.follows(second)
    assert not first.follows(first)
    assert not replace(second, address="10.0.0.2").follows(first)  # by another of its cards
    assert not replace(second, initiator="iqn.2026-01.org.example:node2").follows(first)


class Scripted:
    """A management socket that hears one order a line and says what it was given."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "socket"
        self.heard: list[bytes] = []
        self.answer = struct.pack("=II", 0, 8)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self.socket}.5")
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def say(self, text: str) -> None:
        self.answer = struct.pack("=II", 0, 8 + len(text)) + text.encode()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:  # shut down
                return
            with line:
                self.heard.append(line.recv(65536))
                line.sendall(self.answer)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not tmp_path: a socket's path has no more than 107 octets."""
    with tempfile.TemporaryDirectory(prefix="bootd-tgtd-") as made:
        yield Path(made)


@pytest.fixture
def script(folder: Path) -> Iterator[Scripted]:
    scripted = Scripted(folder)
    yield scripted
    scripted.close()


@pytest.fixture
def tgtd(script: Scripted) -> Tgtd:
    return Tgtd(script.socket, control_port=5)


# -- orders, as tgtadm 1.0.85 was seen to give them


def order(
    mode: int, op: int, words: bytes = b"", *, tid: int, lun: int = 2**64 - 1, sid: int = 0, cid: int = 0
) -> bytes:
    head = struct.pack("=II64sIiQQI", mode, op, b"iscsi", 120 + len(words), tid, sid, lun, cid)
    return head + bytes(20) + words


@pytest.mark.parametrize(
    ("give", "expected"),
    [
        pytest.param(
            lambda t: t.new_target(9, "iqn.2026-01.x:a"),
            order(1, 0, b"targetname=iqn.2026-01.x:a\0", tid=9),
            id="target",
        ),
        pytest.param(lambda t: t.delete_target(9), order(1, 1, tid=9), id="target goes"),
        pytest.param(
            lambda t: t.allow(9, "iqn.2026-01.x:n"),
            order(1, 3, b"initiator-name=iqn.2026-01.x:n\0", tid=9),
            id="rule",
        ),
        pytest.param(
            lambda t: t.forbid(9, "eui.0123456789abcdef"),
            order(1, 4, b"initiator-name=eui.0123456789abcdef\0", tid=9),
            id="rule goes",
        ),
        pytest.param(
            lambda t: t.forbid(9, "10.0.0.0/8"),
            order(1, 4, b"initiator-address=10.0.0.0/8\0", tid=9),
            id="address goes",
        ),
        pytest.param(
            lambda t: t.new_account("u", "p,assword="),
            order(7, 0, b"user=u,password=p,assword=\0", tid=-1),
            id="account",
        ),
        pytest.param(lambda t: t.delete_account("u"), order(7, 1, b"user=u\0", tid=-1), id="account goes"),
        pytest.param(
            lambda t: t.bind_account(9, "u"), order(7, 3, b"user=u\0", tid=9), id="account of target"
        ),
        pytest.param(lambda t: t.unbind_account(9, "u"), order(7, 4, b"user=u\0", tid=9), id="and no more"),
        pytest.param(lambda t: t.end(9, 5, 3), order(6, 1, tid=9, sid=5, cid=3), id="connection goes"),
        pytest.param(lambda t: t.targets(), order(1, 2, tid=-1), id="targets"),
        pytest.param(lambda t: t.logins(9), order(6, 2, tid=9), id="logins"),
        pytest.param(lambda t: t.portals(), order(3, 2, tid=-1), id="portals"),
    ],
)
def test_orders_are_those_of_tgtadm(
    script: Scripted, tgtd: Tgtd, give: Callable[[Tgtd], object], expected: bytes
) -> None:
    assert len(order(1, 2, tid=9)) == 120
    give(tgtd)
    assert script.heard == [expected]


def test_order_to_export_a_file_names_it_as_nobody_but_root_can_change(
    script: Scripted, tgtd: Tgtd, folder: Path
) -> None:
    image = folder / "a.img"
    image.touch()
    tgtd.new_lun(9, str(image))
    told = link_of(tgtd.path, image) if is_root() else image  # to others it does not listen anyhow
    assert script.heard == [order(2, 0, f"path={told}\0".encode(), tid=9, lun=1)]


# -- answers


def test_a_refusal_is_told_in_words(script: Scripted, tgtd: Tgtd) -> None:
    script.answer = struct.pack("=II", 19, 8)
    with pytest.raises(TgtdError, match="tgtd says: the target is in use") as caught:
        tgtd.delete_target(9)
    assert caught.value.said == Said.TARGET_ACTIVE
    script.answer = struct.pack("=II", 99, 8)
    with pytest.raises(TgtdError, match="error 99"):
        tgtd.delete_target(9)


def test_an_answer_that_is_as_good_may_be_passed_over() -> None:
    with unless(Said.NO_TARGET, Said.NO_USER):
        raise TgtdError(15)
    with pytest.raises(TgtdError), unless(Said.NO_TARGET):
        raise TgtdError(15)


def test_portals_are_told_with_their_ports(script: Scripted, tgtd: Tgtd) -> None:
    script.say("Portal: [::]:3260,1\nPortal: 0.0.0.0:3260,1\nPortal: 10.0.0.1:3999,1\n")
    assert tgtd.portals() == ["[::]:3260", "0.0.0.0:3260", "10.0.0.1:3999"]


def test_logins_are_told_with_what_ends_them(script: Scripted, tgtd: Tgtd) -> None:
    one = (
        "Session: {}\n    Connection: {}\n        Initiator: iqn.2026-01.x:n\n        IP Address: 10.0.0.1\n"
    )
    script.say(one.format(2, 0) + one.format(3, 1))
    assert tgtd.logins(9) == [Login(n, n - 2, "iqn.2026-01.x:n", "10.0.0.1") for n in (2, 3)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(b"", "hung up", id="nothing"),
        pytest.param(struct.pack("=I", 0), "hung up", id="half"),
        pytest.param(struct.pack("=II", 0, 20) + b"short", "hung up", id="cut off"),
        pytest.param(struct.pack("=II", 0, 7), "another language", id="too short to be"),
        pytest.param(struct.pack("=II", 0, 2**32 - 1), "another language", id="too long to be"),
    ],
)
def test_what_is_no_answer_may_be_one_next_time(
    script: Scripted, tgtd: Tgtd, answer: bytes, said: str
) -> None:
    if os.geteuid() != 0:
        said += "|root alone"
    script.answer = answer
    with pytest.raises(LunError, match=said) as caught:
        tgtd.targets()
    assert caught.value.is_permanent == (os.geteuid() != 0 and said.startswith("hung up"))


def test_who_is_not_root_is_told_so(script: Scripted, tgtd: Tgtd, monkeypatch: pytest.MonkeyPatch) -> None:
    """tgtd hangs up on them, as was seen."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    script.answer = b""
    with pytest.raises(LunRefused, match="takes orders from root alone"):
        tgtd.targets()


def test_a_tgtd_that_is_not_there_or_does_not_answer_may_come_back(folder: Path) -> None:
    with pytest.raises(LunUnreachable, match=r"does not answer at .*/socket.0: No such file"):
        Tgtd(folder / "socket").targets()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(f"{folder}/socket.0")
        with pytest.raises(LunUnreachable, match="Connection refused"):
            Tgtd(folder / "socket").targets()
        deaf.listen()
        with pytest.raises(LunUnreachable, match="no answer in time"):
            Tgtd(folder / "socket", timeout=0.01).targets()


# -- the listing, as tgtd 1.0.85 printed it

LISTING = """\
Target 5: iqn.2026-01.bootd.tgt:a
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 2
            Initiator: iqn.2026-01.org.example:node1 alias: none
            Connection: 0
                IP Address: 127.0.0.1
    LUN information:
        LUN: 0
            Type: controller
            SCSI ID: IET     00050000
            Backing store type: null
            Backing store path: None
            Backing store flags: 
        LUN: 1
            Type: disk
            SCSI ID: IET     00050001
            Size: 8 MB, Block size: 512
            Backing store type: rdwr
            Backing store path: /lun/a.img
            Backing store flags: 
    Account information:
        node1
        master (outgoing)
    ACL information:
        ALL
        iqn.2026-01.org.example:node1
Target 2147483647: iqn.2026-01.org.example:bare
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
    LUN information:
        LUN: 0
            Type: controller
            Backing store path: None
    Account information:
    ACL information:
"""  # noqa: W291 - as it came


def test_the_listing_is_read() -> None:
    rules = ["ALL", "iqn.2026-01.org.example:node1"]
    assert parse_targets(LISTING) == [
        Target(5, "iqn.2026-01.bootd.tgt:a", "/lun/a.img", ["node1", "master"], rules),
        Target(2147483647, "iqn.2026-01.org.example:bare"),
    ]
    assert parse_targets("") == []


@given(st.text(st.sampled_from("Target 5:\n    LUN information ACL\t\r\x0b\u2028\0"), max_size=200))
def test_whatever_a_machine_calls_itself_no_other_line_is_lost(alias: str) -> None:
    listing = LISTING.replace("alias: none", f"alias: {alias}")
    assert Target(2147483647, "iqn.2026-01.org.example:bare") in parse_targets(listing)
    assert (5, "iqn.2026-01.bootd.tgt:a") in [(one.tid, one.name) for one in parse_targets(listing)]
