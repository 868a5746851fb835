"""Every error bootd raises on purpose: a stable code, fields, and a message a person can act on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

_SHOWN = 200  # characters of a value in a message; a pasted file must not fill the screen


class BootdError(Exception):
    """Base. *code* is part of the API and never reused; *exit_status* is what a command ends with."""

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1


class NotFound(BootdError):
    """No such record."""

    code = "not-found"

    def __init__(self, kind: str, key: str, hint: str = "") -> None:
        super().__init__(f"no {kind} {key!r}" + (f"; {hint}" if hint else ""))
        self.kind, self.key = kind, key


class Refused(BootdError):
    """What was asked is understood and not allowed; the message says why and the way out."""

    code = "refused"


class Conflict(BootdError):
    """Another record already holds a value that must be unique."""

    code = "conflict"

    def __init__(self, kind: str, field: str, value: str, holder: str) -> None:
        super().__init__(f"{field} {value!r} already belongs to {kind} {holder!r}")
        self.kind, self.field, self.value, self.holder = kind, field, value, holder


class BadValue(BootdError):
    """A single value given by a person does not fit."""

    code = "bad-value"

    def __init__(self, field: str, value: str, expected: str) -> None:
        shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
        super().__init__(f"{field}: {shown!r} is not {expected}")
        self.field, self.value, self.expected = field, value, expected


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with a text: where, and what was expected."""

    line: int  # counted from 1; 0 where the text as a whole is meant
    message: str


class BadText(BootdError):
    """A file has mistakes; all of them are here and nothing of it was taken."""

    code = "bad-text"

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        rows = [f"{source}:{m.line}: {m.message}" if m.line else f"{source}: {m.message}" for m in mistakes]
        super().__init__("\n".join(rows))
        self.source, self.mistakes = source, tuple(mistakes)


class BadConfig(BadText):
    """The configuration has a wrong key, type or value."""

    code = "bad-config"
    exit_status = 2


class StoreTooNew(BootdError):
    """The database was written by a newer bootd."""

    code = "store-too-new"

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"{path} has schema {found}, this bootd knows up to {known}: start the newer bootd that wrote it"
        )
        self.path, self.found, self.known = path, found, known


class StoreFailed(BootdError):
    """The database cannot be used: no database, no permission, a broken disk."""

    code = "store-failed"


class StoreBusy(StoreFailed):
    """Another process held the database for longer than we were willing to wait."""

    code = "store-busy"


class StoreFull(StoreFailed):
    """There is no room left for what was to be written; nothing of it was."""

    code = "store-full"


class CannotBook(BootdError):
    """A booking that cannot be: every reason at once."""

    code = "cannot-book"

    def __init__(self, what: str, reasons: Sequence[str]) -> None:
        listed = f" {reasons[0]}" if len(reasons) == 1 else "".join(f"\n  - {reason}" for reason in reasons)
        super().__init__(f"{what}:{listed}")
        self.what, self.reasons = what, tuple(reasons)
