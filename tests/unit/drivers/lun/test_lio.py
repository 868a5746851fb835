"""LIO: what is written into the kernel's folder, in which order, and what is made of what it tells."""

import errno
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from bootd.drivers.lun import Chap, LunBusy, LunRefused, LunUnreachable, Options, open_backend
from bootd.drivers.lun.configfs import Configfs
from bootd.drivers.lun.lio import LioLuns
from bootd.drivers.lun.lio_plan import (
    HBA,
    Link,
    Make,
    Remove,
    Standing,
    Step,
    Unlink,
    Where,
    Write,
    closing,
    group_of,
    opening,
    serial,
    target_of,
)
from bootd.drivers.lun.shelf import Login
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from tests.helpers.configfs import PlayedConfigfs
from tests.helpers.golden import assert_golden

SIZE = 4 << 20
NODE1, NODE2 = (f"iqn.2026-01.org.example:node{n}" for n in (1, 2))
CHAP = Chap("node1", "secret-secret")
LOGIN = Login(NODE1, CHAP.user, CHAP.secret)


class Kernel:
    """A backend over a folder that plays the kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = PlayedConfigfs(folder / "target")
        self.luns = self.next_process()

    def next_process(self) -> LioLuns:
        return LioLuns(Tools(self.folder / "luns"), tree=self.tree)

    def log_in(self, volume: str = "a", chap: Chap = CHAP, initiator: str = NODE1) -> None:
        self.tree.log_in(target_of(volume), initiator, chap.user, chap.secret)

    def export(self) -> None:
        self.luns.create("a", SIZE)
        self.luns.export("a", NODE1, CHAP)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


# -- the plan ----------------------------------------------------------------------------------


def told(steps: Iterable[Step]) -> str:
    lines = []
    for step in steps:
        if isinstance(step, Write):
            lines.append(f"echo {step.text} > {step.path}")
        elif isinstance(step, Link):
            lines.append(f"ln -s {step.to} {step.path}")
        else:
            verb = {Make: "mkdir", Unlink: "rm", Remove: "rmdir"}[type(step)]
            lines.append(f"{verb} {step.path}")
    return "\n".join(lines) + "\n"


@pytest.mark.golden
def test_orders_that_export_a_volume() -> None:
    steps = opening("rack-a.node1.4", "/var/lib/bootd/drivers/luns/rack-a.node1.4.img", SIZE, LOGIN, [3260])
    assert_golden("lio/opening", told(steps))


@pytest.mark.golden
def test_orders_that_end_an_export() -> None:
    there = Standing(True, True, True, True, True, ["0.0.0.0:3260"], [NODE1], [NODE1])
    assert_golden("lio/closing", told(closing("rack-a.node1.4", there)))


def test_a_secret_is_not_in_what_a_step_says_of_itself() -> None:
    steps = opening("a", "/a.img", SIZE, LOGIN, [3260])
    assert CHAP.secret in told(steps)
    assert CHAP.secret not in repr(steps)


def test_a_target_is_opened_last_and_closed_first() -> None:
    steps = opening("a", "/a.img", SIZE, LOGIN, [3260, 3261])
    assert steps[-1] == Write(group_of("a") / "enable", "1")
    there = Standing(True, True, True, True, True, ["0.0.0.0:3260"], [NODE1], [NODE1])
    assert closing("a", there)[0] == Write(group_of("a") / "enable", "0")
    assert closing("a", Standing()) == []


def test_serial_numbers_follow_from_names() -> None:
    assert serial("a") == serial("a") != serial("b")


# -- in a folder that plays the kernel -------------------------------------------------------------


def test_nothing_is_left_in_the_kernel_of_an_export_that_is_over(kernel: Kernel) -> None:
    kernel.export()
    kernel.luns.delete("a")
    assert kernel.tree.folders(Where("iscsi")) == []
    assert kernel.tree.folders(Where(HBA)) == []


@pytest.mark.parametrize("orders", range(1, 21))
def test_an_export_that_was_broken_off_lets_nobody_in_and_is_made_anew(kernel: Kernel, orders: int) -> None:
    kernel.luns.create("a", SIZE)
    dies_after(kernel, orders)
    with pytest.raises(LunUnreachable):
        kernel.luns.export("a", NODE1, CHAP)
    with pytest.raises((PermissionError, FileNotFoundError)):
        kernel.log_in()
    lives(kernel)
    kernel.next_process().restore()
    kernel.log_in()
    assert [one.initiator for one in kernel.luns.sessions()] == [NODE1]


@pytest.mark.parametrize("orders", range(1, 10))
def test_a_target_that_was_half_taken_away_is_gone_after_the_next_call(kernel: Kernel, orders: int) -> None:
    kernel.export()
    dies_after(kernel, orders)
    with pytest.raises(LunUnreachable):
        kernel.luns.unexport("a")
    lives(kernel)
    with pytest.raises((PermissionError, FileNotFoundError)):
        kernel.log_in()
    kernel.next_process().unexport("a")
    assert kernel.tree.folders(Where("iscsi")) == kernel.tree.folders(Where(HBA)) == []


def dies_after(kernel: Kernel, orders: int) -> None:
    """Have the kernel refuse all orders but the first few."""
    tree = kernel.tree
    left = len(tree.orders) + orders
    make, write, link, remove = tree.make, tree.write, tree.link, tree.remove

    def checked(path: Where) -> None:
        if len(tree.orders) >= left:
            raise OSError(errno.EIO, "Input/output error", str(tree.root / path))

    tree.make = lambda path: (checked(path), make(path))[1]  # type: ignore[method-assign]
    tree.write = lambda path, text: (checked(path), write(path, text))[1]  # type: ignore[method-assign]
    tree.link = lambda path, to: (checked(path), link(path, to))[1]  # type: ignore[method-assign]
    tree.remove = lambda path: (checked(path), remove(path))[1]  # type: ignore[method-assign]


def lives(kernel: Kernel) -> None:
    for name in ("make", "write", "link", "remove"):
        delattr(kernel.tree, name)


def test_a_kernel_that_was_started_again_is_told_everything_anew(kernel: Kernel) -> None:
    kernel.export()
    export = kernel.luns.volume("a").export
    kernel.tree.reboot()
    assert kernel.next_process().restore() == ["a"]
    assert kernel.luns.restore() == []
    kernel.log_in()
    assert kernel.luns.volume("a").export == export


def test_a_target_that_no_record_wants_is_closed_once_its_machine_has_gone(kernel: Kernel) -> None:
    kernel.export()
    kernel.log_in()
    record = kernel.folder / "luns" / "a.json"
    record.unlink()
    kernel.luns.restore()
    assert kernel.tree.folders(Where("iscsi")) == [target_of("a")]
    kernel.tree.log_out(target_of("a"), NODE1)
    kernel.luns.restore()
    assert kernel.tree.folders(Where("iscsi")) == []


@pytest.mark.parametrize("orders", range(12))
def test_a_machine_that_comes_while_its_export_ends_gets_a_disk_that_stays_or_none(
    kernel: Kernel, orders: int
) -> None:
    """It tries before each order to the kernel from the nth on, until it is let in."""
    kernel.export()
    came: list[str] = []
    for name in ("write", "unlink", "remove"):
        comes_before(kernel, name, orders + len(kernel.tree.orders), came)
    with suppress(LunBusy):
        kernel.luns.delete("a")
        assert came == []
    assert [one.initiator for one in kernel.luns.sessions("a")] == came
    assert came == ([NODE1] if orders == 0 else [])


def comes_before(kernel: Kernel, order: str, orders: int, came: list[str]) -> None:
    deed = getattr(kernel.tree, order)

    def done(*words: object) -> None:
        if not came and len(kernel.tree.orders) >= orders:
            with suppress(PermissionError, FileNotFoundError):
                kernel.log_in()
                came.append(NODE1)
        deed(*words)

    setattr(kernel.tree, order, done)


def test_a_machine_may_log_in_again_after_an_attempt_to_end_its_export(kernel: Kernel) -> None:
    kernel.export()
    kernel.log_in()
    with pytest.raises(LunBusy):
        kernel.luns.unexport("a")
    kernel.tree.log_out(target_of("a"), NODE1)
    kernel.log_in()
    assert [one.initiator for one in kernel.luns.sessions("a")] == [NODE1]


def test_targets_of_others_are_not_looked_at(kernel: Kernel) -> None:
    theirs = "iqn.2003-01.org.linux-iscsi:theirs"
    for path in ("iscsi", f"iscsi/{theirs}", "core/fileio_0", "core/fileio_0/theirs"):
        kernel.tree.make(Where(path))
    kernel.export()
    kernel.luns.restore()
    kernel.luns.delete("a")
    assert kernel.tree.folders(Where("iscsi")) == [theirs]
    assert kernel.tree.folders(Where("core/fileio_0")) == ["theirs"]


def test_the_machines_address_is_told(kernel: Kernel) -> None:
    kernel.export()
    kernel.log_in()
    assert [one.address for one in kernel.luns.sessions("a")] == ["10.0.0.21"]
    with pytest.raises(LunBusy):
        kernel.luns.unexport("a")


def test_ports_of_the_portals_are_listened_on(kernel: Kernel) -> None:
    luns = LioLuns(
        Tools(kernel.folder / "luns"), portals=["10.0.0.2:3261", "10.0.1.2:3261"], tree=kernel.tree
    )
    luns.create("a", SIZE)
    assert luns.export("a", NODE1, CHAP).portals == ("10.0.0.2:3261", "10.0.1.2:3261")
    assert kernel.tree.folders(group_of("a") / "np") == ["0.0.0.0:3261"]


def test_the_file_that_is_exported_is_the_volumes(kernel: Kernel) -> None:
    kernel.luns.create("a", SIZE)
    kernel.luns.write("a", BytesSource(b"image"))
    kernel.luns.export("a", NODE1, CHAP)
    kernel.log_in()
    kernel.tree.machine_writes(target_of("a"), b"IMAGE")
    assert next(kernel.luns.read("a")).startswith(b"IMAGE")


# -- what goes wrong -----------------------------------------------------------------------------


def test_a_kernel_without_a_target_is_told_with_the_way_out(tmp_path: Path) -> None:
    luns = LioLuns(Tools(tmp_path / "luns"), tree=Configfs(tmp_path / "target"))
    luns.create("a", SIZE)
    assert [volume.name for volume in luns.volumes()] == ["a"]
    assert luns.sessions() == []
    with pytest.raises(LunUnreachable, match="modprobe iscsi_target_mod"):
        luns.export("a", NODE1, CHAP)


def test_who_is_not_root_is_told_so(kernel: Kernel) -> None:
    kernel.luns.create("a", SIZE)

    def refuse(path: Where) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(kernel.tree.root / path))

    kernel.tree.make = refuse  # type: ignore[method-assign]
    with pytest.raises(LunRefused, match=r'core/.*Permission denied; .* obeys root alone: server.user = ""'):
        kernel.luns.export("a", NODE1, CHAP)


def test_a_folder_with_a_comma_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LunRefused, match="no comma"):
        open_backend("lio", Tools(tmp_path / "a,b"), Options())


def test_what_the_kernel_refuses_is_told_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        Configfs(tmp_path).write(Where("file"), "1")


def test_secrets_are_in_files_of_the_owner_alone(kernel: Kernel) -> None:
    kernel.export()
    record = kernel.folder / "luns" / "a.json"
    assert CHAP.secret in record.read_text()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
