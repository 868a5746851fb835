"""What bootd writes into the comments of its LUNs and initiator groups on ONTAP, and reads there again."""

import hashlib
from dataclasses import dataclass

from bootd.drivers.lun.base import Chap

OURS = "bootd 1"  # what every comment of ours begins with; the number is that of its form
_SALT_OCTETS, _DIGEST_OCTETS = 16, 16
_COST = 2**14  # of scrypt: some 50 ms and 16 MiB for each guess at a secret


@dataclass(frozen=True, slots=True)
class LunNote:
    """What is known of a volume besides what ONTAP knows.

    *size* is what was asked for: ONTAP may round a LUN's own up.
    """

    size: int
    parent: str | None = None
    is_whole: bool = True
    is_fresh: bool = True  # nothing was ever written to it: it reads as zeros

    def text(self) -> str:
        words = [OURS, f"size={self.size}"]
        words += [f"parent={self.parent}"] if self.parent else []
        words += [] if self.is_whole else ["half-written"]
        words += ["fresh"] if self.is_fresh else []
        return " ".join(words)


def lun_note(comment: str) -> LunNote | None:
    """Return what *comment* says; None: it is not ours, or of a blank."""
    words = _words(comment)
    size = words.get("size", "")
    if not size.isdigit():
        return None
    return LunNote(int(size), words.get("parent"), "half-written" not in words, "fresh" in words)


@dataclass(frozen=True, slots=True)
class GroupNote:
    """How the initiator of a group logs in: ONTAP tells nobody a secret, so a digest of it is kept."""

    user: str
    digest: str

    def text(self) -> str:
        return f"{OURS} user={self.user} secret={self.digest}"

    def knows(self, chap: Chap) -> bool:
        """Return whether that is the secret."""
        return self.digest == _digest(chap.secret, self.digest.partition(".")[0])


def group_note(comment: str) -> GroupNote | None:
    """Return what *comment* says; None: it is not ours."""
    words = _words(comment)
    return GroupNote(words["user"], words["secret"]) if {"user", "secret"} <= set(words) else None


def note_of(chap: Chap, salt: bytes) -> GroupNote:
    return GroupNote(chap.user, _digest(chap.secret, salt.hex()))


def _words(comment: str) -> dict[str, str]:
    """Return the words of a comment of ours and what is behind their "="; nothing of others' comments."""
    head, *words = comment.removeprefix(OURS).split(" ")
    if not comment.startswith(OURS) or head:
        return {}
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _digest(secret: str, salt: str) -> str:
    key = hashlib.scrypt(secret.encode(), salt=salt.encode(), n=_COST, r=8, p=1, dklen=_DIGEST_OCTETS)
    return f"{salt}.{key.hex()}"
