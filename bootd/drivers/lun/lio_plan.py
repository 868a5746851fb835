"""What is written into the folder of Linux's own target (LIO) to export a volume, and to end that."""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from bootd.drivers.lun.shelf import Login

PREFIX = "iqn.2026-01.bootd.lio"
HBA = "core/fileio_20260"  # all in here is ours; the number is one that nobody counts up to
LUN = "lun_1"
_LINK = "bootd"  # the name of links: the kernel asks for one, whichever

Where = PurePosixPath  # below the target's folder


@dataclass(frozen=True, slots=True)
class Make:
    """Make a folder; the kernel fills it."""

    path: Where


@dataclass(frozen=True, slots=True)
class Write:
    path: Where
    text: str = field(repr=False)  # it may be a secret


@dataclass(frozen=True, slots=True)
class Link:
    path: Where
    to: Where


@dataclass(frozen=True, slots=True)
class Unlink:
    path: Where


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a folder and what the kernel filled it with; what we made in it goes first."""

    path: Where


Step = Make | Write | Link | Unlink | Remove


def store_of(volume: str) -> Where:
    return Where(HBA, volume)


def target_of(volume: str) -> str:
    return f"{PREFIX}:{volume}"


def group_of(volume: str) -> Where:
    """Return the target's only portal group."""
    return Where("iscsi", target_of(volume), "tpgt_1")


def acl_of(volume: str, initiator: str) -> Where:
    return group_of(volume) / "acls" / initiator


def opening(volume: str, file: str, size: int, login: Login, ports: Iterable[int]) -> list[Step]:
    """Export *file*, of which nothing is there yet. Until the last step nobody can log in."""
    store, group = store_of(volume), group_of(volume)
    return [
        Make(store.parent),
        Make(store),
        Write(store / "control", f"fd_dev_name={file},fd_dev_size={size}"),
        Write(store / "control", "fd_buffered_io=1"),
        Write(store / "enable", "1"),
        Write(store / "attrib/emulate_write_cache", "1"),  # the page cache, which machines flush
        Write(store / "wwn/vpd_unit_serial", serial(volume)),
        Make(Where("iscsi")),
        Make(group.parent),
        Make(group),
        Write(group / "attrib/authentication", "1"),
        Write(group / "attrib/generate_node_acls", "0"),
        Make(group / "lun" / LUN),
        Link(group / "lun" / LUN / _LINK, store),
        *(Make(group / "np" / f"0.0.0.0:{port}") for port in ports),
        Make(acl_of(volume, login.initiator)),
        *logging_in(volume, login),
        Make(acl_of(volume, login.initiator) / LUN),
        Link(acl_of(volume, login.initiator) / LUN / _LINK, group / "lun" / LUN),
        Write(group / "enable", "1"),
    ]


def logging_in(volume: str, login: Login) -> list[Step]:
    """Have the initiator that may log in do so as *login*; sessions go on."""
    auth = acl_of(volume, login.initiator) / "auth"
    return [Write(auth / "userid", login.user), Write(auth / "password", login.secret)]


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is of a volume's export, whole or not."""

    store: bool = False
    target: bool = False
    group: bool = False
    lun: bool = False
    is_open: bool = False
    portals: Sequence[str] = ()
    initiators: Sequence[str] = ()  # with an access control list
    mapped: Sequence[str] = ()  # those of them that have the LUN


def closing(volume: str, standing: Standing) -> list[Step]:
    """Take away what there is, last things first. Closing the group ends its sessions."""
    store, group = store_of(volume), group_of(volume)
    steps: list[Step] = [Write(group / "enable", "0")] if standing.is_open else []
    for initiator in standing.initiators:
        acl = acl_of(volume, initiator)
        if initiator in standing.mapped:
            steps += [Unlink(acl / LUN / _LINK), Remove(acl / LUN)]
        steps.append(Remove(acl))
    if standing.lun:
        steps += [Unlink(group / "lun" / LUN / _LINK), Remove(group / "lun" / LUN)]
    steps += [Remove(group / "np" / portal) for portal in standing.portals]
    steps += [Remove(group)] if standing.group else []
    steps += [Remove(group.parent)] if standing.target else []
    steps += [Remove(store)] if standing.store else []
    return steps


def serial(volume: str) -> str:
    """Return the disk's serial number, which follows from its name: a machine finds the same disk again."""
    return str(uuid.UUID(bytes=hashlib.sha256(target_of(volume).encode()).digest()[:16]))
