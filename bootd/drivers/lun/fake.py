"""LUNs that nobody can reach: sparse files in a folder, and logins by hand."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from bootd.drivers.faults import Faults
from bootd.drivers.lun.base import Chap, Export, LunBusy, LunRefused, LunUnreachable, Session
from bootd.drivers.lun.files import FileLuns, export_of, keep_login
from bootd.drivers.lun.shelf import Login, Record
from bootd.drivers.tools import Tools

T = TypeVar("T")

TARGET = "iqn.2026-01.bootd.fake"
PORTALS = ("127.0.0.1:3260",)


class FakeLuns(FileLuns):
    """Keeps everything in *tools.folder*, so another process, or the next one, finds it as it was.

    `log_in` and `log_out` play the machines. Between two steps, faults can be planted
    at ``create.made``, ``clone.copied``, ``write.begun``, ``write.chunk`` (after each),
    ``write.done`` and ``delete.closed``.
    """

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self.faults = Faults(tools.wait, LunRefused, LunUnreachable)
        self.failures: dict[str, dict[str, int]] = {}  # by volume and session, for whoever plays with it

    # -- for whoever plays with it -----------------------------------------------------------

    def log_in(self, name: str, initiator: str, chap: Chap, address: str = "") -> None:
        """Do what a machine's initiator does; raises `LunRefused` where the target would."""

        def deed() -> None:
            record = self._record(name)
            if record.login is None or record.login.initiator != initiator:
                raise LunRefused(name, f"is not exported to {initiator}")
            if (record.login.user, record.login.secret) != (chap.user, chap.secret):
                raise LunRefused(name, f"{initiator} is not who it says")
            session = Session(name, initiator, address)
            others = tuple(one for one in record.sessions if one != session)
            self._shelf.keep(msgspec.structs.replace(record, sessions=(*others, session)))

        self._change("log_in", name, deed)

    def log_out(self, name: str, initiator: str) -> None:
        """End the initiator's sessions."""

        def deed() -> None:
            record = self._record(name)
            left = tuple(one for one in record.sessions if one.initiator != initiator)
            self._shelf.keep(msgspec.structs.replace(record, sessions=left))

        self._change("log_out", name, deed)

    def play_write(self, name: str, octets: bytes) -> None:
        """Do what a machine does that writes to the beginning of its disk."""

        def deed() -> None:
            record = self._record(name)
            if not record.sessions:
                raise LunRefused(name, "nobody is logged in")
            with self._shelf.image(name).open("r+b") as file:
                file.write(octets)
            self._shelf.keep(msgspec.structs.replace(record, written=record.written + len(octets)))

        self._change("play_write", name, deed)

    def failed(self, name: str) -> Mapping[str, int]:
        return self._ask("failed", name, lambda: dict(self.failures.get(name, {})))

    # -- the target: the records themselves --------------------------------------------------

    def _open(self, record: Record, login: Login) -> Export:
        keep_login(self._shelf, record, login)
        return export_of(record, login, f"{TARGET}:{record.name}", PORTALS)

    def _close(self, name: str, force: bool) -> None:
        record = self._shelf.find(name)
        if record is not None and record.sessions and not force:
            raise LunBusy(name, record.sessions)
        if record is not None and record.login is not None:
            keep_login(self._shelf, record, None)

    def _exports(self, records: list[Record]) -> Mapping[str, Export]:
        return {
            one.name: export_of(one, one.login, f"{TARGET}:{one.name}", PORTALS)
            for one in records
            if one.login is not None
        }

    def _sessions(self, name: str | None) -> list[Session]:
        records = [one for one in self._shelf.every() if name in (None, one.name)]
        return [session for record in records for session in record.sessions]

    def _written(self, record: Record, compare: bool) -> int | None:
        return record.written if record.parent is not None else None

    # -- faults ------------------------------------------------------------------------------

    def _perform(self, verb: str, name: str, deed: Callable[[], T]) -> T:
        return self.faults.perform(verb, name, deed)

    def _between(self, step: str, name: str) -> None:
        self.faults.between(step, name)
