"""TFTP packets as a read-only server meets them (RFC 1350 section 5, RFC 2347)."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from netboot.errors import LocalError, WireError
from netboot.wire import Reader

REQUEST_MAX = 512  # octets, RFC 2347: what lies behind is not read
BLOCK_SIZE_MAX = 65464  # octets, RFC 2348

_BLOCK = struct.Struct(">HH")


class Opcode(IntEnum):
    """First two octets of every packet."""

    RRQ = 1
    WRQ = 2
    DATA = 3
    ACK = 4
    ERROR = 5
    OACK = 6


_DATA = int(Opcode.DATA)  # once a block: an enum's member costs a look-up


class ErrorCode(IntEnum):
    """RFC 1350 appendix, RFC 2347."""

    NOT_DEFINED = 0
    NOT_FOUND = 1
    ACCESS_VIOLATION = 2
    DISK_FULL = 3
    ILLEGAL_OPERATION = 4
    UNKNOWN_TID = 5
    FILE_EXISTS = 6
    NO_SUCH_USER = 7
    OPTION_NEGOTIATION = 8


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """RRQ. *options* keep the client's order and spelling; see `negotiate`."""

    filename: bytes  # raw: see names.name_candidates
    mode: str  # folded to lower case
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """WRQ, kept only so that it can be refused by name."""

    filename: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """ACK."""

    block: int  # 16 bits


@dataclass(frozen=True, slots=True)
class Error:
    """ERROR. *code* is a plain number: clients invent their own."""

    code: int
    message: str


Packet = ReadRequest | WriteRequest | Ack | Error


def decode(data: bytes) -> Packet:
    """Return the packet in *data*; raises `WireError` for what no client sends to a server.

    Octets behind an ACK are ignored: Ethernet padding reaches us through some tunnels.
    """
    reader = Reader(data, end=REQUEST_MAX, reason="tftp-truncated")
    opcode = reader.u16()
    if opcode == Opcode.ACK:
        return Ack(reader.u16())
    if opcode == Opcode.RRQ:
        return _read_request(reader)
    if opcode == Opcode.WRQ:
        return WriteRequest(reader.until_nul())
    if opcode == Opcode.ERROR:
        return Error(reader.u16(), _text(reader.rest().partition(b"\0")[0]))
    if opcode in (Opcode.DATA, Opcode.OACK):
        raise WireError("tftp-not-for-servers", f"a client sent {Opcode(opcode).name}")
    raise WireError("tftp-unknown-opcode", f"opcode {opcode}")


def encode_data(block: int, data: bytes | memoryview) -> bytes:
    """Return DATA; *block* is taken modulo 65536, so that 65535 is followed by 0."""
    return _BLOCK.pack(_DATA, block & 0xFFFF) + data


def encode_oack(options: tuple[tuple[str, str], ...]) -> bytes:
    """Return OACK. An empty one is refused: with nothing accepted, DATA 1 is the answer (RFC 2347)."""
    if not options:
        raise LocalError("an OACK without options")
    words = [word.encode("latin-1") for option in options for word in option]
    return Opcode.OACK.to_bytes(2, "big") + b"\0".join(words) + b"\0"


def encode_error(code: int, message: str) -> bytes:
    """Return ERROR; *message* is for the person before the machine's screen, in ASCII."""
    text = message.encode("ascii", "replace").replace(b"\0", b"?")
    return _BLOCK.pack(Opcode.ERROR, code) + text + b"\0"


def _read_request(reader: Reader) -> ReadRequest:
    filename = reader.until_nul()
    mode = _text(reader.until_nul()).lower()
    words = reader.rest().split(b"\0")[:-1]  # what is cut short is left out, as dnsmasq does
    pairs = zip(words[::2], words[1::2], strict=False)
    return ReadRequest(filename, mode, tuple((_text(name), _text(value)) for name, value in pairs if name))


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")
