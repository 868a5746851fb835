"""Processor architecture types: option 93 (RFC 4578 section 2.1, IANA registry).

The name says what a client is; `Firmware` which kind of program it can start.
Real x64 UEFI sends 7 although RFC 4578 printed it as EBC (erratum 4624); a few
send 9. Both are treated as x64 UEFI.
"""

from dataclasses import dataclass
from enum import StrEnum


class Firmware(StrEnum):
    """What will start the program we hand out."""

    BIOS = "bios"
    UEFI = "uefi"
    UBOOT = "uboot"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Architecture:
    """One row of the registry."""

    code: int  # option 93
    name: str  # stable slug, used in configuration and in tables
    firmware: Firmware
    cpu: str  # as iPXE spells ${buildarch}; "" where it has no word
    http: bool = False  # the client boots from an HTTP URL, not by TFTP

    @property
    def known(self) -> bool:
        return not self.name.startswith("unknown-")


_B, _U, _UB, _O = Firmware.BIOS, Firmware.UEFI, Firmware.UBOOT, Firmware.OTHER
_ROWS = (
    (0x00, "x86-bios", _B, "i386"),
    (0x01, "nec-pc98", _O, ""),
    (0x02, "itanium-uefi", _U, ""),
    (0x03, "dec-alpha", _O, ""),
    (0x04, "arc-x86", _O, ""),
    (0x05, "intel-lean-client", _O, ""),
    (0x06, "x86-uefi", _U, "i386"),
    (0x07, "x64-uefi", _U, "x86_64"),
    (0x08, "xscale-uefi", _U, ""),
    (0x09, "ebc", _U, "x86_64"),
    (0x0A, "arm32-uefi", _U, "arm32"),
    (0x0B, "arm64-uefi", _U, "arm64"),
    (0x0C, "powerpc-open-firmware", _O, ""),
    (0x0D, "powerpc-epapr", _O, ""),
    (0x0E, "power-opal", _O, ""),
    (0x0F, "x86-uefi-http", _U, "i386"),
    (0x10, "x64-uefi-http", _U, "x86_64"),
    (0x11, "ebc-http", _U, "x86_64"),
    (0x12, "arm32-uefi-http", _U, "arm32"),
    (0x13, "arm64-uefi-http", _U, "arm64"),
    (0x14, "x86-bios-http", _B, "i386"),
    (0x15, "arm32-uboot", _UB, "arm32"),
    (0x16, "arm64-uboot", _UB, "arm64"),
    (0x17, "arm32-uboot-http", _UB, "arm32"),
    (0x18, "arm64-uboot-http", _UB, "arm64"),
    (0x19, "riscv32-uefi", _U, "riscv32"),
    (0x1A, "riscv32-uefi-http", _U, "riscv32"),
    (0x1B, "riscv64-uefi", _U, "riscv64"),
    (0x1C, "riscv64-uefi-http", _U, "riscv64"),
    (0x1D, "riscv128-uefi", _U, ""),
    (0x1E, "riscv128-uefi-http", _U, ""),
    (0x1F, "s390-basic", _O, ""),
    (0x20, "s390-extended", _O, ""),
    (0x21, "mips32-uefi", _U, ""),
    (0x22, "mips64-uefi", _U, ""),
    (0x23, "sunway32-uefi", _U, ""),
    (0x24, "sunway64-uefi", _U, ""),
    (0x25, "loongarch32-uefi", _U, ""),
    (0x26, "loongarch32-uefi-http", _U, ""),
    (0x27, "loongarch64-uefi", _U, "loong64"),
    (0x28, "loongarch64-uefi-http", _U, "loong64"),
    (0x29, "rpi", _O, "arm64"),
)
_HTTP_CODES = frozenset((0x0F, 0x10, 0x11, 0x12, 0x13, 0x14, 0x17, 0x18, 0x1A, 0x1C, 0x1E, 0x26, 0x28))

ARCHITECTURES = {row[0]: Architecture(*row, http=row[0] in _HTTP_CODES) for row in _ROWS}
BY_NAME = {architecture.name: architecture for architecture in ARCHITECTURES.values()}


def architecture(code: int) -> Architecture:
    """Return the row of *code*; a code nobody registered keeps its number."""
    row = ARCHITECTURES.get(code)
    return row if row is not None else Architecture(code, f"unknown-0x{code:04x}", Firmware.OTHER, "")
