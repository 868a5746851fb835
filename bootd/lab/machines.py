"""The machines of the lab: what each kind is made of, as QEMU's command line.

Always TCG, never KVM: a /dev/kvm that exists proves nothing. (Seen: one that
emulates real mode so slowly that SeaBIOS takes 39 s to iPXE where TCG takes 0.3 s,
and on which OVMF dies at once.) ``-cpu qemu64``: a richer one makes the kernel slower to start.
"""

import hashlib
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bootd.errors import BadValue
from netboot.hwaddr import parse_mac

QEMU = "qemu-system-x86_64"
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
_SPACE = uuid.UUID("6f8f2d5a-52d8-4c43-9a3f-6d4f6c616273")  # of the lab's machine UUIDs


class Kind(StrEnum):
    """Firmware and network card."""

    BIOS = "bios"  # SeaBIOS, virtio card with QEMU's iPXE ROM
    BIOS_E1000 = "bios-e1000"  # the same with an Intel card
    UEFI = "uefi"  # OVMF with its own PXE client, virtio card
    UEFI_HTTP = "uefi-http"  # OVMF that tries HTTP Boot only

    @property
    def firmware(self) -> str:
        return "uefi" if self in (Kind.UEFI, Kind.UEFI_HTTP) else "bios"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A machine to be. *mac* and the UUID follow from the lab's and the node's name where none is given."""

    name: str
    kind: Kind = Kind.BIOS
    mac: str = ""
    disk: str = ""  # path of a raw image; "" for none


def parse_spec(text: str) -> NodeSpec:
    """Return the machine that ``NAME:KIND`` names; raises `BadValue`."""
    name, _, kind = text.partition(":")
    known = [str(k) for k in Kind]
    if not name or len(name) > 32 or not name.replace("-", "").isalnum() or kind not in known:
        raise BadValue("lab machine", text, f"NAME:KIND with KIND one of {', '.join(known)}")
    return NodeSpec(name, Kind(kind))


def complete(lab: str, spec: NodeSpec) -> NodeSpec:
    """Return *spec* with its MAC address filled in, in canonical form."""
    if spec.mac:
        return NodeSpec(spec.name, spec.kind, parse_mac(spec.mac), spec.disk)
    digest = hashlib.sha256(f"{lab}/{spec.name}".encode()).digest()
    return NodeSpec(spec.name, spec.kind, "52:54:00:" + digest[:3].hex(":"), spec.disk)


def machine_uuid(lab: str, node: str) -> str:
    """Return a UUID of its own for every machine: QEMU's default is zero for all of them."""
    return str(uuid.uuid5(_SPACE, f"{lab}/{node}"))


@dataclass(frozen=True, slots=True)
class Places:
    """Where a machine's files and sockets are."""

    folder: Path
    name: str

    @property
    def console_log(self) -> Path:
        return self.folder / f"{self.name}.console"

    @property
    def console(self) -> Path:
        return self.folder / f"{self.name}.serial"

    @property
    def qmp(self) -> Path:
        return self.folder / f"{self.name}.qmp"

    @property
    def vars(self) -> Path:
        return self.folder / f"{self.name}.vars"

    @property
    def messages(self) -> Path:
        return self.folder / f"{self.name}.qemu"


def command(lab: str, spec: NodeSpec, tap: str, places: Places, *, is_held: bool = False) -> list[str]:
    """Return QEMU's command line for *spec* on the interface *tap*.

    *is_held*: it stands before its firmware's first instruction, which a power driver takes for off.
    """
    log = f"logfile={places.console_log},logappend=on"  # written whether or not somebody is attached
    return [
        QEMU,
        *("-name", f"{lab}-{spec.name}", "-uuid", machine_uuid(lab, spec.name)),
        *("-accel", "tcg", "-cpu", "qemu64", "-nodefaults", "-display", "none"),
        *("-chardev", f"socket,id=serial0,path={places.console},server=on,wait=off,{log}"),
        *("-serial", "chardev:serial0"),
        *("-qmp", f"unix:{places.qmp},server=on,wait=off"),
        *("-netdev", f"tap,id=net0,ifname={tap},script=no,downscript=no"),
        *(_uefi(spec, places) if spec.kind.firmware == "uefi" else _bios(spec)),
        *_disk(spec),
        *(["-S"] if is_held else []),
    ]


def _bios(spec: NodeSpec) -> list[str]:
    card = "e1000" if spec.kind is Kind.BIOS_E1000 else "virtio-net-pci"
    return [
        # graphics=off sends what BIOS, iPXE and GRUB write on the screen to the serial port
        *("-machine", "pc,graphics=off", "-m", "768"),
        *("-device", f"{card},netdev=net0,mac={spec.mac},bootindex=1"),
    ]


def _uefi(spec: NodeSpec, places: Places) -> list[str]:
    # each IPv6 try of OVMF is a minute of waiting
    off = ["IPv6Support", "IPv6PXESupport"]
    if spec.kind is Kind.UEFI_HTTP:
        off.append("IPv4PXESupport")
    return [
        *("-machine", "q35,graphics=off", "-m", "1024"),
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={places.vars}"),
        # romfile= : without it QEMU's iPXE would take the place of the firmware's own PXE client
        *("-device", f"virtio-net-pci,netdev=net0,mac={spec.mac},romfile=,bootindex=1"),
        # newer OVMF has no network without a source of randomness
        *("-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0"),
        *(word for name in off for word in ("-fw_cfg", f"name=opt/org.tianocore/{name},string=n")),
    ]


def _disk(spec: NodeSpec) -> list[str]:
    if not spec.disk:
        return []
    return [
        *("-drive", f"if=none,id=disk0,format=raw,file={spec.disk}"),
        *("-device", "virtio-blk-pci,drive=disk0,bootindex=2"),
    ]
