"""Machines, what they are told to boot, and what was seen of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from bootd.errors import BadValue

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?\Z")
_SETTING = re.compile(r"[a-z][a-z0-9_-]{0,39}\Z")
_DEVICE = re.compile(r"/dev/[A-Za-z0-9/_.:-]{1,80}\Z")

# Settings with a meaning for bootd; others are free facts that templates may use.
SETTING_VALUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ipxe": ("rom", "chain"),  # chain: load our own iPXE even where the ROM is one
        "uefi": ("boot-server", "offer"),  # how a UEFI ROM is told its boot file
        "boot": ("ignore",),  # leave this machine to other servers
        "lun": ("script", "dhcp"),  # dhcp: iPXE has its LUN from DHCP itself, where we give addresses
        "power": ("fake", "qmp", "shell"),  # the driver that switches it; fake: for rehearsals
    }
)

_LOADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}\Z")


def check_name(kind: str, text: str) -> str:
    """Return *text* if it can name a record, in file names and URLs too; raises `BadValue`."""
    if not _NAME.match(text):
        raise BadValue(f"{kind} name", text, "letters, digits, '.', '-' and '_' (at most 64)")
    return text


def check_setting(key: str, value: str) -> None:
    """Raise `BadValue` unless *key*=*value* may be kept with a host."""
    if not _SETTING.match(key):
        raise BadValue("setting", key, "a lower-case word such as 'ipxe' or 'rack-unit'")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
        raise BadValue(f"setting {key}", value, "text without control characters")
    allowed = SETTING_VALUES.get(key)
    if allowed is not None and value not in allowed:
        raise BadValue(f"setting {key}", value, "one of " + ", ".join(allowed))
    if key == "loader" and (not _LOADER.match(value) or ".." in value):
        raise BadValue("setting loader", value, "a file name below tftp.root or a loader folder")


def check_device(text: str) -> str:
    """Return *text* if it is a device path such as ``/dev/sda1``; raises `BadValue`."""
    if not _DEVICE.match(text) or ".." in text:
        raise BadValue("boot device", text, "a device path such as /dev/sda1")
    return text


class Role(StrEnum):
    """What part a machine plays on the testbed; a site may leave it open."""

    ROOT = "root"  # boots from a LUN
    MESH = "mesh"  # boots from a slot of its disk
    NONE = ""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine we know."""

    name: str
    mac: str  # canonical text
    ip: str | None = None  # dotted IPv4
    number: int | None = None  # node number of the cluster
    role: Role = Role.NONE
    local_boot: str | None = None  # device of its own disk; None: it does not boot locally by default
    groups: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


class TargetKind(StrEnum):
    """The kinds of thing a machine can be told to boot."""

    MEMORY = "memory"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Target:
    """What a machine is told to boot: ``memory:NAME`` or ``local``."""

    kind: TargetKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)


def parse_target(text: str) -> Target:
    """Return the target *text* names; raises `BadValue`."""
    kind, _, name = text.partition(":")
    if kind == TargetKind.MEMORY and name:
        return Target(TargetKind.MEMORY, check_name("memory image", name))
    if text == TargetKind.LOCAL:
        return Target(TargetKind.LOCAL)
    raise BadValue("boot target", text, "memory:NAME, local or default")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file of a memory image as it lies in the data folder."""

    name: str  # as nodes see it: vmlinuz, initrd.gz
    path: str  # relative to DATA_DIR/files, also its name under /files/
    sha256: str
    size: int  # octets


@dataclass(frozen=True, slots=True)
class MemoryImage:
    """A kernel with its initramfs: what a node runs without a disk."""

    name: str
    kernel: ImageFile
    initrds: tuple[ImageFile, ...]
    cmdline: str
    added_at: datetime

    @property
    def files(self) -> tuple[ImageFile, ...]:
        return (self.kernel, *self.initrds)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a host boots until told otherwise."""

    host: str
    target: Target
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Override:
    """What a host boots once: used up by evidence that it did, or by time."""

    id: int
    host: str
    target: Target
    set_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing a machine was seen to do; the rows of a boot's chain."""

    at: datetime
    mac: str
    host: str  # "" where the machine is unknown
    event: str  # name of the event, "tftp.read_completed"
    text: str  # for people
    octets: int = 0  # sent to the machine in this step
    seconds: float = 0.0  # the step took


@dataclass(frozen=True, slots=True)
class Sighting:
    """A machine nobody registered, as its questions told."""

    mac: str
    arch: str
    first_seen_at: datetime
    last_seen_at: datetime
    questions: int
    reason: str
