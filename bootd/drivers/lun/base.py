"""The interface of LUN backends (iSCSI: RFC 7143)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from bootd.drivers.errors import DriverError
from bootd.drivers.source import ByteSource
from bootd.drivers.tools import Tools

BLOCK = 512  # octets; a volume's size is a multiple of it

# Called with the octets written so far, never fewer than before, in the thread that writes; the last
# call has the image's size. What it raises (no OSError) ends the writing and reaches the caller: so is a
# job cancelled.
Progress = Callable[[int], None]


class LunError(DriverError):
    """Base: something was not done to *volume* ("" where the backend as a whole is meant)."""

    def __init__(self, volume: str, reason: str) -> None:
        super().__init__(f"volume {volume}: {reason}" if volume else reason)
        self.volume, self.reason = volume, reason


class LunRefused(LunError):
    """The same call will be refused again; nothing was changed."""

    code = "lun-refused"


class LunMissing(LunRefused):
    """There is no such volume."""

    code = "lun-missing"

    def __init__(self, volume: str) -> None:
        super().__init__(volume, "there is none of that name")


class LunFull(LunError):
    """The backend has no room. Permanent until somebody makes some; what was begun is not whole."""

    code = "lun-full"


class LunUnreachable(LunError):
    """No answer, or a failure on its side. Try again: whether the deed was done is not known."""

    code = "lun-unreachable"
    is_permanent = False


class LunsNotRestored(LunError):
    """The target is there, and does not export some volumes that it should; all others it does."""

    code = "luns-not-restored"
    is_permanent = False
    _NAMED = 8

    def __init__(self, failures: Mapping[str, LunError], restored: Sequence[str] = ()) -> None:
        named = [f"{volume}: {error.reason}" for volume, error in sorted(failures.items())]
        more = len(named) - self._NAMED
        super().__init__("", "; ".join(named[: self._NAMED]) + (f"; and {more} more" if more > 0 else ""))
        self.failures, self.restored = failures, list(restored)


@dataclass(frozen=True, slots=True)
class Chap:
    """What an initiator says at login (RFC 7143 section 12.1.3)."""

    user: str
    secret: str = field(
        repr=False
    )  # 12 to 16 octets: RFC 7143 asks for 96 bits, some initiators take no more


@dataclass(frozen=True, slots=True)
class Export:
    """A volume as its one initiator sees it. The secret is told to nobody."""

    volume: str
    initiator: str  # its iSCSI name
    chap_user: str
    target: str  # the target's iSCSI name; one a volume
    lun: int
    portals: tuple[str, ...]  # "address:port", the first to be tried first


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that is there."""

    name: str
    size: int  # octets
    parent: str | None = None  # the volume it was cloned from, which may be gone
    is_whole: bool = True  # False from an image's first octet to its last one's safe arrival
    export: Export | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """An initiator that is logged in just now, by the target's own table."""

    volume: str
    initiator: str
    address: str  # of the machine, "" where the backend does not tell
    is_left: bool = False  # it logged in anew since then, by the target's own count: a machine that was reset


class LunBusy(LunError):
    """Machines are logged in. Not permanent: sessions end, or are ended by `unexport` with *force*."""

    code = "lun-busy"
    is_permanent = False

    def __init__(self, volume: str, sessions: Sequence[Session]) -> None:
        who = ", ".join(sorted({session.initiator for session in sessions}))
        super().__init__(volume, f"in use by {who}")
        self.sessions = tuple(sessions)


class LunBackend(ABC):
    """A place that keeps volumes and exports each to one initiator.

    **Names.** Everything goes by the volume's name: lower-case letters, digits, "-"
    and ".", 63 at most (`volume_name` makes one of any words). What a backend keeps
    besides those made through this interface it does not show and does not touch.

    **Repeating.** Each call names the state that is wanted and may be repeated, after
    `LunUnreachable` and after our own process was killed in it: what is there already
    is left as it is. A volume appears whole or not at all; what was left half made is
    made anew by the next call of the same name.

    **Errors.** `LunRefused` (permanent, nothing was changed), `LunMissing`, `LunFull`,
    `LunBusy` and `LunUnreachable` (try again), no others but what *progress* raises.

    **Threads.** Any method from any thread. Calls that change one volume wait for each
    other; calls for different volumes, and questions, do not wait for a `write`.
    """

    # True: the target knows a machine by one CHAP name and secret for all its volumes, so its exports
    # must name the same. False: each volume may have its own.
    one_login_each_machine: ClassVar[bool] = False
    tells_written: ClassVar[bool] = False  # whether `written` may know anything

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @abstractmethod
    def create(self, name: str, size: int) -> Volume:
        """Have a volume of *size* octets, which reads as zeros when new.

        One of that name and size is returned as it is, contents and all; one of
        another size is refused.
        """

    @abstractmethod
    def clone(self, source: str, name: str) -> Volume:
        """Have *name* as a copy of *source* as it is now; neither sees the other's later writes.

        A clone of *source* that is there already is returned as it is, even if *source*
        was written since: to renew it, delete it first. Refused: a *source* that is not
        whole, a *name* that is something else.
        """

    @abstractmethod
    def write(self, name: str, image: ByteSource, progress: Progress | None = None) -> Volume:
        """Write *image* to the volume's beginning; behind it the volume reads as zeros afterwards.

        Nobody reads there what an earlier project left. Refused before anything is
        written: an image larger than the volume, a volume that is exported. Until the
        last octet is safe the volume is not whole, also after an error; a repeated call
        writes everything again. An image that ends early, goes on past its size, or
        cannot be read is `LunRefused` too, the one refusal that leaves the volume not whole.
        """

    @abstractmethod
    def read(self, name: str) -> Iterator[bytes]:
        """Yield the volume's octets from its beginning, to verify what was written.

        Errors are raised by the call, or while iterating if the volume goes meanwhile.
        """

    @abstractmethod
    def export(self, name: str, initiator: str, chap: Chap) -> Export:
        """Let *initiator*, and nobody else, log in with *chap*.

        Repeated for the same initiator, the new secret counts for the next login and
        sessions go on. Refused: a name that is no iSCSI name, a secret of the wrong
        length, a volume that is not whole, one exported to another initiator, a CHAP
        user who has another secret for another volume (targets know a user by one).
        """

    @abstractmethod
    def unexport(self, name: str, *, force: bool = False) -> None:
        """Let nobody log in any more; a volume that is not exported or not there is fine.

        `LunBusy` while there are sessions, unless *force* ends them: for those that a
        machine left behind when it was reset.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Have the volume gone, its export too; one that is not there is fine.

        `LunBusy` while there are sessions, and there is no force: unexport it first.
        Clones of it live on.
        """

    @abstractmethod
    def volumes(self) -> list[Volume]:
        """Return all volumes, in the order of their names."""

    def volume(self, name: str) -> Volume:
        """Return one volume; raises `LunMissing`."""
        for volume in self.volumes():
            if volume.name == name:
                return volume
        raise LunMissing(name)

    @abstractmethod
    def sessions(self, name: str | None = None) -> list[Session]:
        """Return who is logged in, to volume *name* or to any; none for a volume that is not there."""

    def written(self, name: str, *, compare: bool = False) -> int | None:
        """Return how many octets of clone *name* were written since it was made; None: that is not known.

        The backend's whole blocks are counted, each once however often it was written. Where
        that is not told, *compare* has the whole clone read beside its source, which takes its
        time: blocks that were written as they had been are not counted then.
        Nothing is known of what is no clone. Raises `LunMissing`.
        """
        self.volume(name)
        return None

    def failed(self, name: str) -> Mapping[str, int]:
        """Return how many commands of volume *name* the target failed, by session; none: not known.

        No later session has the name of an earlier one. Some commands always fail: what tells
        of a disk that is broken is that there are more of them than a while ago.
        """
        return {}

    def scraps(self) -> list[str]:
        """Return the names of volumes that there are not, and of which something takes room.

        So it is where we were killed while one was made, or power was lost before it was safe. What is
        being made at this moment, by anybody, is not among them, nor what a machine is logged in to.
        """
        return []

    def clear(self, name: str) -> bool:
        """Have such a scrap gone; False where it is none, or none any more."""
        return False

    def restore(self) -> list[str]:
        """Have the target export again what it should; return the volumes that it did not.

        For targets that forget, to be called again and again: a machine that reboots
        waits for no other call. All are tried; then `LunsNotRestored` names those that failed.
        """
        return []
