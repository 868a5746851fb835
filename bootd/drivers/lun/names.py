"""Names and secrets that every backend and every initiator takes."""

import hashlib
import re

from bootd.drivers.lun.base import BLOCK, Chap, LunRefused

_VOLUME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?\Z")
_OTHER = re.compile(r"[^a-z0-9]+")

# RFC 7143 section 4.2.7: iqn.<year>-<month>.<reversed domain>[:<anything>], eui.<16 hex>, naa.<16 or 32 hex>,
# of the characters that stringprep leaves (RFC 3722).
_IQN = re.compile(r"iqn\.[0-9]{4}-(?:0[1-9]|1[0-2])\.[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[a-z0-9.:-]+)?\Z")
_EUI = re.compile(r"eui\.[0-9a-fA-F]{16}\Z")
_NAA = re.compile(r"naa\.(?:[0-9a-fA-F]{16}|[0-9a-fA-F]{32})\Z")
_LONGEST = 223  # octets, RFC 7143 section 4.2.7.1

_CHAP_USER = re.compile(r"[!-~]{1,63}\Z")
_SECRET = re.compile(r"[!-~]{12,16}\Z")


def volume_name(*words: str) -> str:
    """Return a volume's name made of *words*; different words give different names.

    They are joined by dots. Where that could be mistaken, or letters had to be changed
    or left out, a digest of the words ends the name.
    """
    said = ".".join(words)
    if _VOLUME.match(said) and all(words) and not any("." in word for word in words):
        return said
    plain = _OTHER.sub("-", said.lower()).strip("-")[:50].strip("-") or "volume"
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain}-{digest[:12]}"


def is_volume(name: str) -> bool:
    """Tell whether *name* can name a volume."""
    return _VOLUME.match(name) is not None


def check_volume(name: str) -> None:
    """Raise `LunRefused` unless *name* can name a volume."""
    if not is_volume(name):
        raise LunRefused(repr(name), "a name is lower-case letters, digits, '-' and '.', at most 63")


def check_size(name: str, size: int) -> None:
    """Raise `LunRefused` unless a volume can be of *size* octets."""
    if size <= 0 or size % BLOCK:
        raise LunRefused(name, f"{size} octets are no size: a multiple of {BLOCK} is")


def check_initiator(name: str, initiator: str) -> None:
    """Raise `LunRefused` unless *initiator* is an iSCSI name."""
    known = _IQN.match(initiator) or _EUI.match(initiator) or _NAA.match(initiator)
    if not known or len(initiator) > _LONGEST:
        raise LunRefused(name, f"{initiator!r} is no iSCSI name such as iqn.2026-01.org.example:node1")


def check_chap(name: str, chap: Chap) -> None:
    """Raise `LunRefused` unless *chap* suits every initiator; the secret is not repeated."""
    if not _CHAP_USER.match(chap.user):
        raise LunRefused(name, f"{chap.user!r} is no CHAP name: 1 to 63 printable characters without blanks")
    if not _SECRET.match(chap.secret):
        raise LunRefused(
            name, f"the CHAP secret of {chap.user} is not 12 to 16 printable characters without blanks"
        )
