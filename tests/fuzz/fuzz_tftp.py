"""TFTP from the network: any octets give a packet or a `WireError`, and any packet a transfer that ends."""

from netboot.errors import WireError
from netboot.tftp.names import name_candidates, printable_name
from netboot.tftp.negotiate import negotiate
from netboot.tftp.packet import Ack, Error, ReadRequest, decode, encode_oack
from netboot.tftp.source import BytesSource
from netboot.tftp.transfer import ReadTransfer

SEEDS: list[bytes] = [
    b"\0\1undionly.kpxe\0octet\0blksize\x001432\0tsize\x000\0",
    b"\0\1\\Boot\\BCD\0octet\0tsize\x000\0blksize\x001456\0windowsize\x004\0",
    b"\0\1pxelinux.cfg/01-88-99-aa-bb-cc-dd\0octet\0tsize\x000\0blksize\x001408\0",
    b"\0\1/../x\xff\0netascii\0timeout\x003\0rollover\x000\0",
    b"\0\2f\0mail\0",
    b"\0\3\0\1data",
    b"\0\4\0\1",
    b"\0\5\0\x08TFTP Aborted\0",
    b"\0\6blksize\x008\0",
]

_CONTENT = BytesSource(bytes(range(256)) * 3)


def target(data: bytes) -> None:
    """Raise where an invariant is broken."""
    try:
        packet = decode(data)
    except WireError:
        return
    if isinstance(packet, ReadRequest):
        _answer(packet)
    elif isinstance(packet, Ack | Error):
        _disturb(packet)


def _answer(request: ReadRequest) -> None:
    printable = printable_name(request.filename)
    if not printable.isascii() or not printable.isprintable():
        raise AssertionError(f"unprintable: {printable!r}")
    try:
        names = name_candidates(request.filename)
    except WireError:
        return
    for name in names:
        if ".." in name.split("/") or name.startswith("/") or "\0" in name:
            raise AssertionError(f"leads out: {name!r}")
    agreement = negotiate(request.options, size=_CONTENT.size)
    if not 8 <= agreement.block_size <= 65464 or not 1 <= agreement.window_size <= 64:
        raise AssertionError(f"out of range: {agreement}")
    asked = [name for name, _ in request.options]
    if any(name not in asked for name, _ in agreement.accepted):
        raise AssertionError(f"not asked for: {agreement}")
    if agreement.accepted:
        encode_oack(agreement.accepted)


def _disturb(packet: Ack | Error) -> None:
    """A running transfer takes the packet twice and still ends."""
    transfer = ReadTransfer(_CONTENT, negotiate((("blksize", "64"), ("windowsize", "5")), size=_CONTENT.size))
    now = 0.0
    for _ in range(100):
        transfer.datagrams_to_send(now=now)
        if isinstance(packet, Ack):
            transfer.receive_ack(packet.block, now=now)
        else:
            transfer.receive_error(packet.code, now=now)
        if transfer.deadline is None:
            return
        now = transfer.deadline
        transfer.handle_timeout(now=now)
    raise AssertionError("the transfer does not end")
