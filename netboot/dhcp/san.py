"""A LUN named by DHCP itself: iPXE and gPXE boot it without a script (RFC 4173, iPXE's option 175)."""

from dataclasses import dataclass, field

from netboot.dhcp.options import INITIATOR_NAME, IPXE, ROOT_PATH, encode_options
from netboot.dhcp.proxydhcp import BootPart
from netboot.errors import LocalError

_NO_PXE_DHCP = 0xB0  # sub-options of option 175: do not wait for a ProxyDHCP
_USER_NAME = 0xBE
_PASSWORD = 0xBF
_ROOT_PATH_ROOM = 255  # gPXE keeps it in 256 octets


@dataclass(frozen=True, slots=True)
class SanAnswer:
    """The LUN a machine boots, and how it logs in there."""

    root_path: str  # iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET
    initiator: str  # iSCSI name of the machine
    user: str = ""  # of CHAP; "" where the target asks for none
    secret: str = field(default="", repr=False)


def san_part(answer: SanAnswer, *, is_final: bool) -> BootPart:
    """Return how *answer* is put to iPXE or gPXE; no file, which they would prefer to the LUN.

    Options travel in clear, mostly by broadcast. The secret goes into the reply that *is_final*
    alone: from an OFFER they take nothing. Raises `LocalError` for what does not fit.
    """
    inside = {_NO_PXE_DHCP: b"\x01"}
    if answer.user and is_final:
        inside |= {_USER_NAME: _text("user name", answer.user), _PASSWORD: _text("secret", answer.secret)}
    return BootPart(
        options={
            ROOT_PATH: _text("root path", answer.root_path),
            INITIATOR_NAME: _text("initiator", answer.initiator),
            IPXE: encode_options(inside.items()),
        }
    )


def no_other_offers() -> dict[int, bytes]:
    """Return the option that spares iPXE its wait for a ProxyDHCP: two seconds of every boot.

    It counts only in the offer that gives the address.
    """
    return {IPXE: encode_options({_NO_PXE_DHCP: b"\x01"}.items())}


def _text(what: str, text: str) -> bytes:
    """Check *text* without repeating it: it may be the secret."""
    try:
        octets = text.encode("ascii")
    except UnicodeEncodeError:
        raise LocalError(f"the {what} of a LUN is not ASCII") from None
    if not octets or len(octets) > _ROOT_PATH_ROOM or min(octets) <= 0x20 or max(octets) == 0x7F:
        raise LocalError(f"the {what} of a LUN is empty, too long, or holds a blank or control character")
    return octets
