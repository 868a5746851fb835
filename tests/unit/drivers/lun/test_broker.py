"""What the process that stays root passes on to tgtd, and what it does not."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.drivers.lun import LunRefused, LunUnreachable, broker
from bootd.drivers.lun.broker import (
    ACCOUNT,
    DELETE,
    LUN,
    NEW,
    NO_LUN,
    PREFIX,
    REQUEST,
    SHOW,
    TARGET,
    UNIT,
    Refusal,
    number_of,
)
from bootd.drivers.lun.brokered import Broker
from bootd.drivers.lun.tgtd import Tgtd
from tests.helpers.namespace import need_root

UID = os.getuid()
OURS = f"{PREFIX}:rack.a"


def order(mode: int, op: int, words: str = "", *, lun: int = NO_LUN, driver: bytes = b"iscsi") -> bytes:
    data = words.encode() + b"\0" if words else b""
    return REQUEST.pack(mode, op, driver, REQUEST.size + len(data), 1, 0, lun, 0, 0, 0, 0, 0, 0) + data


def new_unit(path: Path | str) -> bytes:
    return order(UNIT, NEW, f"path={path}", lun=LUN)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "rack.a.node1.7.img"
    path.touch()
    return path


class Recorder(Tgtd):
    """Writes down the octets of each order that the driver can give."""

    def __init__(self) -> None:
        super().__init__(way=self._write_down)  # type: ignore[arg-type]
        self.requests: list[bytes] = []

    def _write_down(self, path: str, request: bytes, timeout: float) -> None:
        self.requests.append(request)
        raise LunUnreachable("", "written down")


def every_order(volume: Path) -> list[bytes]:
    tgtd = Recorder()
    deeds = [
        tgtd.targets,
        lambda: tgtd.logins(1),
        lambda: tgtd.failed(1),
        tgtd.portals,
        lambda: tgtd.new_target(number_of(OURS), OURS),
        lambda: tgtd.delete_target(1),
        lambda: tgtd.end(1, 2, 3),
        lambda: tgtd.new_lun(1, str(volume)),
        lambda: tgtd.allow(1, "iqn.2026-01.org.example:node1"),
        lambda: tgtd.forbid(1, "iqn.2026-01.org.example:node1"),
        lambda: tgtd.forbid(1, "a rule that a machine forged \u00e9"),
        lambda: tgtd.new_account("rack.a.node1.7", "a,b=c%d\"e'f\\g"),
        lambda: tgtd.delete_account("rack.a.node1.7"),
        lambda: tgtd.bind_account(1, "rack.a.node1.7"),
        lambda: tgtd.unbind_account(1, "rack.a.node1.7"),
    ]
    for deed in deeds:
        with pytest.raises(LunUnreachable, match="written down"):
            deed()
    return tgtd.requests


def test_every_order_of_the_driver_is_passed_on_and_the_table_has_no_other(volume: Path) -> None:
    requests = every_order(volume)
    for request in requests:
        broker.check(request)
    assert {REQUEST.unpack_from(each)[:2] for each in requests} == set(broker.ORDERS)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(order(TARGET, SHOW)[:-1], id="cut"),
        pytest.param(order(TARGET, SHOW) + b"x", id="more than its length says"),
        pytest.param(order(0, DELETE), id="end tgtd"),
        pytest.param(order(TARGET, 5, "state=offline"), id="update"),
        pytest.param(order(TARGET, SHOW, "path=/etc/shadow"), id="words where none belong"),
        pytest.param(order(TARGET, SHOW, lun=1), id="a unit where none belongs"),
        pytest.param(order(TARGET, SHOW, driver=b"iser"), id="another driver"),
        pytest.param(order(TARGET, NEW, "targetname=a b"), id="no name"),
        pytest.param(order(TARGET, NEW, "targetname=iqn.2026-01.org.example:a"), id="not our name"),
        pytest.param(order(TARGET, NEW, f"targetname={OURS}"), id="not the number of the name"),
        pytest.param(order(ACCOUNT, NEW, "user=a,b,password=secret-secret"), id="a comma"),
        pytest.param(order(ACCOUNT, NEW, "user=a,password=short"), id="a short secret"),
        pytest.param(REQUEST.pack(*REQUEST.unpack(order(TARGET, DELETE))[:-1], 1), id="by force"),
    ],
)
def test_nothing_else_is_passed_on(request_: bytes) -> None:
    with pytest.raises(Refusal):
        broker.check(request_)


def name_for_tgtd(path: Path | str, folder: Path, uid: int = UID) -> Path:
    """Return what tgtd would open by the name that it is told, and see to it that the name goes again."""
    found = broker.check(new_unit(path))
    with broker.exported(new_unit(path), f"{folder}/socket.0", Path(found["path"]), folder, uid) as told:
        name = Path(told[REQUEST.size :].decode().removeprefix("path=").rstrip("\0"))
        assert name == broker.link_of(f"{folder}/socket.0", Path(found["path"]))
        opened = name.readlink().resolve()
    assert not name.is_symlink()
    return opened


def test_of_files_only_volumes_of_our_own_are_exported(volume: Path, tmp_path: Path) -> None:
    assert name_for_tgtd(volume, tmp_path) == volume
    link, hard, folder = tmp_path / "link.img", tmp_path / "hard.img", tmp_path / "folder.img"
    link.symlink_to("/etc/shadow")
    folder.mkdir()
    refused = ["/etc/shadow", tmp_path / "none.img", tmp_path / ".." / volume.name, link, folder, "x.img"]
    refused += [f"{volume},bstype=sg", f"{tmp_path}/.hidden.img"]
    for path in refused:
        with pytest.raises(Refusal):
            name_for_tgtd(path, tmp_path)
    with pytest.raises(Refusal, match="no file of user"):
        name_for_tgtd(volume, tmp_path, UID + 1)
    hard.hardlink_to(volume)
    with pytest.raises(Refusal, match="no file of user"):
        name_for_tgtd(volume, tmp_path)


def test_no_name_is_made_where_others_could_give_it_to_another_file(volume: Path, tmp_path: Path) -> None:
    beside = tmp_path / "open"
    beside.mkdir()
    beside.chmod(0o777)
    with (
        pytest.raises(Refusal, match="others than root can write to"),
        broker.exported(new_unit(volume), f"{beside}/socket.0", volume, tmp_path, UID),
    ):
        pytest.fail("nothing is exported")


# -- the process


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Broker]:
    need_root()
    made = Broker(f"{tmp_path}/socket.0", tmp_path, "nobody")
    yield made
    made.close()


def test_a_tgtd_that_is_away_is_told_with_the_way_out(ours: Broker, tmp_path: Path) -> None:
    tgtd = Tgtd(tmp_path / "socket", way=ours)
    for _ in range(2):
        with pytest.raises(LunUnreachable, match="No such file or directory; systemctl start tgt") as caught:
            tgtd.targets()
        assert not caught.value.is_permanent


def test_a_refusal_reaches_whoever_asked_and_the_next_order_is_heard(ours: Broker, tmp_path: Path) -> None:
    tgtd = Tgtd(tmp_path / "socket", way=ours)
    with pytest.raises(LunRefused, match="does not pass that on to tgtd: /etc/shadow is no volume in"):
        tgtd.new_lun(1, "/etc/shadow")
    with pytest.raises(LunRefused, match="none that is passed on"):
        tgtd.ask(0, 1)
    with pytest.raises(LunRefused, match="alone, not to"):
        Tgtd(tmp_path / "other", way=ours).targets()
    with pytest.raises(LunUnreachable):
        tgtd.targets()


def test_what_comes_with_something_else_than_a_socket_is_passed_over(ours: Broker, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        socket.send_fds(ours._orders, [order(TARGET, SHOW)], [file.fileno()])
    ours._orders.send(order(TARGET, SHOW))
    with pytest.raises(LunUnreachable, match="does not answer"):
        Tgtd(tmp_path / "socket", way=ours).targets()
    assert (tmp_path / "file").read_bytes() == b""


def test_when_it_has_ended_whoever_asks_is_told_so(ours: Broker, tmp_path: Path) -> None:
    os.kill(ours.pid, 15)  # is not heeded: bootd's end is its own
    tgtd = Tgtd(tmp_path / "socket", way=ours)
    with pytest.raises(LunUnreachable, match="does not answer"):
        tgtd.targets()
    os.kill(ours.pid, 9)
    ours._process.wait()
    with pytest.raises(LunUnreachable, match=r"has ended \(-9\); start bootd again"):
        tgtd.targets()
