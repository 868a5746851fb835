"""File names as boot ROMs spell them, turned into names a table can be asked for."""

import re

from netboot.errors import WireError

NAME_MAX = 255  # octets

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_DRIVE = re.compile("[A-Za-z]:")
_JUNK = bytes(range(0x21)) + b"\xff"


def name_candidates(raw: bytes) -> tuple[str, ...]:
    """Return the names *raw* may stand for, the literal one first: relative, with ``/``, never ``..``.

    ``\\Boot\\BCD`` is how Windows asks, ``//pxelinux.0`` and ``/pxelinux.0`` come from options 66
    and 67 put together. Some ROMs append 0xFF or blanks to the name in option 67: without them
    it is the second name to try. Octets that are not UTF-8 become surrogates, as in `os.fsdecode`.

    Raises `WireError` with a reason ``tftp-name-…`` where no name is left.
    """
    literal = raw.partition(b"\0")[0]
    found: list[str] = []
    refusal = WireError("tftp-name-empty", "an empty file name")
    for spelling in (literal, literal.rstrip(_JUNK)):
        try:
            name = _normalise(spelling)
        except WireError as error:
            refusal = error
            continue
        if name not in found:
            found.append(name)
    if not found:
        raise refusal
    return tuple(found)


def printable_name(raw: bytes) -> str:
    """Return *raw* in a form fit for logs and screens."""
    text = raw[:NAME_MAX].decode("ascii", "backslashreplace")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _normalise(raw: bytes) -> str:
    if len(raw) > NAME_MAX:
        raise WireError("tftp-name-long", f"a file name of {len(raw)} octets")
    text = raw.decode("utf-8", "surrogateescape").replace("\\", "/")
    if _CONTROL.search(text):
        raise WireError("tftp-name-control", "control characters in the file name")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise WireError("tftp-name-dotdot", "'..' in the file name")
    if parts and _DRIVE.match(parts[0]):
        raise WireError("tftp-name-drive", "a drive letter in the file name")
    if not parts:
        raise WireError("tftp-name-empty", "an empty file name")
    return "/".join(parts)
