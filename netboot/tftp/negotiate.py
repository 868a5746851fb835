"""What a server answers to a client's options (RFC 2347, 2348, 2349, 7440).

An OACK names only what was asked for and accepted: PXELINUX gives a file up
when it is told a ``blksize`` it did not ask for, EDK2 likewise.
"""

from dataclasses import dataclass

from netboot.tftp.packet import BLOCK_SIZE_MAX

DEFAULT_BLOCK_SIZE = 512  # octets, RFC 1350


@dataclass(frozen=True, slots=True)
class Limits:
    """What we are ready to accept."""

    block_size: int = BLOCK_SIZE_MAX  # octets; better what the path carries in one frame
    window_size: int = 64  # blocks; EDK2 accepts no more
    timeout: int = 60  # seconds; a dead client's transfer lives six times as long


@dataclass(frozen=True, slots=True)
class Agreement:
    """How one transfer goes. *accepted* is the OACK, in the client's order; empty: DATA 1 answers."""

    block_size: int = DEFAULT_BLOCK_SIZE  # octets
    window_size: int = 1  # blocks
    timeout: int | None = None  # seconds between retransmissions, where the client fixed them
    accepted: tuple[tuple[str, str], ...] = ()


def negotiate(
    options: tuple[tuple[str, str], ...], *, size: int | None, limits: Limits | None = None
) -> Agreement:
    """Return what becomes of *options*; *size* in octets, None where nobody can tell before the end.

    An option that is unknown, out of range or repeated is left out, never an error.
    """
    limits = limits or Limits()
    agreed: dict[str, int] = {}
    accepted: list[tuple[str, str]] = []
    for name, text in options:
        key, asked = name.lower(), _number(text)
        if asked is None or key in agreed:
            continue
        answer = _answer(key, asked, size, limits)
        if answer is not None:
            agreed[key] = answer
            accepted.append((name, str(answer)))
    return Agreement(
        block_size=agreed.get("blksize", DEFAULT_BLOCK_SIZE),
        window_size=agreed.get("windowsize", 1),
        timeout=agreed.get("timeout"),
        accepted=tuple(accepted),
    )


def _answer(key: str, asked: int, size: int | None, limits: Limits) -> int | None:
    if key == "blksize" and asked >= 8:
        return min(asked, limits.block_size, BLOCK_SIZE_MAX)
    if key == "tsize":
        return size
    if key == "timeout" and 1 <= asked <= min(limits.timeout, 255):
        return asked  # U-Boot turns down any other value than its own
    if key == "windowsize" and 1 <= asked <= 65535:
        return min(asked, limits.window_size)
    return None


def _number(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        return None
    return int(text)
