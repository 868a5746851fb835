"""Faults planted into the fakes, so that every way a driver can fail is met in tests and rehearsals."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, assert_never

from bootd.drivers.errors import DriverError
from bootd.drivers.tools import Wait

T = TypeVar("T")


class PowerLost(BaseException):
    """Our own process ends here, as by kill -9: no handler may tidy up after it."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The answer is no, for good; nothing was done."""

    reason: str = "planted refusal"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No answer; with *done* the deed was done all the same and only its answer was lost."""

    reason: str = "planted silence"
    done: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """The deed is done after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Crash:
    """We lose power: before the deed, or with *done* after it and before anybody heard of it."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """What the driver's own means would raise: ``OSError(ENOSPC, …)`` between two steps of a deed."""

    error: Exception


Fault = Refuse | Unreachable | Slow | Crash | Fail


@dataclass(slots=True)
class _Planted:
    fault: Fault
    verb: str
    subject: str
    after: int  # calls that are let pass first
    times: int | None  # None: for ever


class Faults:
    """The faults of one fake; may be planted and met from any thread."""

    def __init__(
        self,
        wait: Wait,
        refused: Callable[[str, str], DriverError],
        unreachable: Callable[[str, str], DriverError],
    ) -> None:
        self._wait, self._refused, self._unreachable = wait, refused, unreachable
        self._planted: list[_Planted] = []
        self._lock = threading.Lock()

    def plant(
        self, fault: Fault, verb: str, subject: str = "*", *, after: int = 0, times: int | None = 1
    ) -> None:
        """Let the *verb* on *subject* ("*": any) meet *fault*, *times* over, once *after* calls went well.

        Verbs are the interface's methods, and what a fake names between two steps of
        one: ``write.chunk``, ``clone.copied``.
        """
        with self._lock:
            self._planted.append(_Planted(fault, verb, subject, after, times))

    def clear(self) -> None:
        """Take all faults back."""
        with self._lock:
            self._planted.clear()

    def perform(self, verb: str, subject: str, deed: Callable[[], T]) -> T:
        """Return what *deed* returns, unless a fault is due."""
        fault = self._due(verb, subject)
        match fault:
            case None:
                return deed()
            case Slow(seconds):
                self._wait(seconds)
                return deed()
            case Refuse(reason):
                raise self._refused(subject, reason)
            case Unreachable(reason, done):
                if done:
                    deed()
                raise self._unreachable(subject, reason)
            case Crash(done):
                if done:
                    deed()
                raise PowerLost(f"{verb} {subject}")
            case Fail(error):
                raise error
            case _:
                assert_never(fault)

    def between(self, verb: str, subject: str) -> None:
        """Meet the faults planted between two steps of a deed."""
        self.perform(verb, subject, lambda: None)

    def _due(self, verb: str, subject: str) -> Fault | None:
        """Count the call and return the first fault that is due."""
        with self._lock:
            for planted in self._planted:
                if planted.verb != verb or planted.subject not in ("*", subject):
                    continue
                if planted.after > 0:
                    planted.after -= 1
                    continue
                if planted.times is not None:
                    planted.times -= 1
                    if planted.times == 0:
                        self._planted.remove(planted)
                return planted.fault
            return None
