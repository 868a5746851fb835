"""LUNs exported by Linux's own target (LIO): sparse files in a folder, one target each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from secrets import token_hex
from typing import TypeVar

from bootd.drivers.lun import lio_plan, portals
from bootd.drivers.lun.base import (
    Export,
    LunBusy,
    LunError,
    LunRefused,
    LunsNotRestored,
    LunUnreachable,
    Session,
)
from bootd.drivers.lun.configfs import Configfs
from bootd.drivers.lun.files import FileLuns, export_of, keep_login
from bootd.drivers.lun.lio_plan import LUN, PREFIX, Standing, Where
from bootd.drivers.lun.shelf import Login, Record
from bootd.drivers.tools import Tools

T = TypeVar("T")

_PORT = 3260
_LOGIN_S = 0.02  # from a machine's proof that it knows the secret to its session, in the kernel
_LONGEST = 255  # octets of a path that the kernel keeps


class LioLuns(FileLuns):
    """Volumes are files in *tools.folder* (FILEIO), each exported as LUN 1 of the target ``PREFIX:NAME``.

    What is wanted stands in the folder's records, CHAP secrets too (mode 0600). The kernel
    keeps targets until the machine is started again: `restore` makes them anew then, and so
    does the next call that looks. What is ours are the targets of our prefix and the
    folder `lio_plan.HBA`, nothing else is looked at.

    An export is made whole or taken away whole: a target is opened last and closed first,
    and one that was left half made, which lets nobody in, is made anew.

    The kernel obeys root alone, so bootd must stay root for it.
    """

    def __init__(self, tools: Tools, *, portals: Sequence[str] = (), tree: Configfs | None = None) -> None:
        """*portals*: what machines are told, if not all addresses; their ports are listened on."""
        super().__init__(tools)
        self._tree = tree or Configfs()
        self._portals = tuple(portals)
        self._ports = sorted({int(one.rpartition(":")[2]) for one in portals}) or [_PORT]
        longest = self._image("x" * 63)
        if "," in longest or len(longest.encode()) > _LONGEST:
            raise LunRefused("", f"{tools.folder}: the kernel takes 255 octets of a path, and no comma")

    def restore(self) -> list[str]:
        """Have the kernel export what the records say; return the volumes that it did not."""

        def deed() -> list[str]:
            with self._exporting():
                restored, failures = self._settle(self._shelf.every())
                self._sweep()
            if failures:
                raise LunsNotRestored(failures, restored)
            return restored

        return self._ask("restore", "", deed)

    # -- what is asked of a child ------------------------------------------------------------

    def _open(self, record: Record, login: Login) -> Export:
        record = keep_login(self._shelf, record, login)
        self._serve(record, login)
        return self._export_of(record, login)

    def _close(self, name: str, force: bool) -> None:
        record = self._shelf.find(name)
        login = None if record is None else record.login
        if not force and (sessions := self._barred(name)):
            if login is not None:
                self._tree.do(lio_plan.logging_in(name, login))
            raise LunBusy(name, sessions)
        self._take_away(name)
        if record is not None and login is not None:
            keep_login(self._shelf, record, None)

    def _exports(self, records: list[Record]) -> Mapping[str, Export]:
        wanted = [record for record in records if record.login is not None]
        _, failures = self._settle(wanted)
        return {
            record.name: self._export_of(record, record.login)
            for record in wanted
            if record.login is not None and record.name not in failures
        }

    def _sessions(self, name: str | None) -> list[Session]:
        volumes = self._targets() if name is None else [name]
        return [session for volume in volumes for session in self._logins(volume)]

    # -- bringing the kernel to what the records say -------------------------------------------

    def _settle(self, records: Sequence[Record]) -> tuple[list[str], dict[str, LunError]]:
        """Serve *records*; return what was not served, and what cannot be: the others are all the same."""
        changed: list[str] = []
        failures: dict[str, LunError] = {}
        for record in [one for one in records if one.login is not None]:
            try:
                if record.login is not None and self._serve(record, record.login):
                    changed.append(record.name)
            except OSError as error:
                failures[record.name] = self._said(record.name, error)
        return changed, failures

    def _serve(self, record: Record, login: Login) -> bool:
        """Let in *login* and nobody else; return whether there was something to do."""
        self._must_be_there()
        name, standing = record.name, self._standing(record.name)
        if not _is_whole(standing, login.initiator):
            self._take_away(name)
            self._tree.do(lio_plan.opening(name, self._image(name), record.size, login, self._ports))
            return True
        auth = lio_plan.acl_of(name, login.initiator) / "auth"
        known = [self._tree.read(auth / word) for word in ("userid", "password")]
        if known == [login.user, login.secret]:
            return False
        self._tree.do(lio_plan.logging_in(name, login))
        return True

    def _barred(self, name: str) -> list[Session]:
        """Let nobody log in any more, and return who has: closing a group ends all its sessions."""
        standing = self._standing(name)
        for initiator in standing.initiators:
            nobody = Login(initiator, "nobody", token_hex(8))
            self._tree.do(lio_plan.logging_in(name, nobody))
        if standing.is_open:
            self._tools.wait(_LOGIN_S)
        return self._logins(name)

    def _take_away(self, name: str) -> None:
        self._tree.do(lio_plan.closing(name, self._standing(name)))

    def _sweep(self) -> None:
        """Close targets that no record wants, as soon as their machines have gone."""
        for name in self._targets():
            record = self._shelf.find(name)
            if (record is None or record.login is None) and not self._barred(name):
                self._take_away(name)

    # -- what the kernel tells -----------------------------------------------------------------

    def _targets(self) -> list[str]:
        names = self._tree.folders(Where("iscsi"))
        return [name.removeprefix(f"{PREFIX}:") for name in names if name.startswith(f"{PREFIX}:")]

    def _standing(self, name: str) -> Standing:
        tree, group, store = self._tree, lio_plan.group_of(name), lio_plan.store_of(name)
        if group.parent.name not in tree.folders(Where("iscsi")):
            return Standing(store=store.name in tree.folders(store.parent))
        initiators = tree.folders(group / "acls")
        standing = Standing(
            store=store.name in tree.folders(store.parent),
            target=True,
            group=group.name in tree.folders(group.parent),
            lun=LUN in tree.folders(group / "lun"),
            is_open=tree.read(group / "enable") == "1",
            portals=tree.folders(group / "np"),
            initiators=initiators,
        )
        return replace(
            standing,
            mapped=[one for one in initiators if LUN in tree.folders(lio_plan.acl_of(name, one))],
        )

    def _logins(self, name: str) -> list[Session]:
        found = []
        for initiator in self._tree.folders(lio_plan.group_of(name) / "acls"):
            info = self._tree.read(lio_plan.acl_of(name, initiator) / "info")
            if info and not info.startswith("No active"):
                found.append(Session(name, initiator, _address(info)))
        return found

    def _must_be_there(self) -> None:
        if not self._tree.is_there():
            raise LunUnreachable(
                "", f"this machine's kernel has no target at {self._tree.root}: modprobe iscsi_target_mod"
            )

    # -- names ---------------------------------------------------------------------------------

    def _image(self, volume: str) -> str:
        return str(self._shelf.image(volume).absolute())

    def _export_of(self, record: Record, login: Login) -> Export:
        listening = [f"0.0.0.0:{port}" for port in self._ports]
        addresses = self._portals or portals.reachable(listening)
        return export_of(record, login, lio_plan.target_of(record.name), addresses)

    def _said(self, name: str, error: OSError) -> LunError:
        where = f"{error.filename or self._tree.root}: {error.strerror or error}"
        if isinstance(error, PermissionError):
            return LunRefused(name, f'{where}; the kernel\'s target obeys root alone: server.user = ""')
        return LunUnreachable(name, where)

    def _perform(self, verb: str, name: str, deed: Callable[[], T]) -> T:
        try:
            return deed()
        except OSError as error:
            if str(error.filename or "").startswith(str(self._tree.root)):
                raise self._said(name, error) from error
            raise


def _is_whole(standing: Standing, initiator: str) -> bool:
    """Return whether all is there, and *initiator* alone may log in."""
    return (
        standing.is_open
        and standing.store
        and standing.lun
        and bool(standing.portals)
        and list(standing.initiators) == list(standing.mapped) == [initiator]
    )


def _address(info: str) -> str:
    """Return the machine's address from what the kernel tells of a session, "" if it is not there."""
    for line in info.splitlines():
        words = line.split()
        if words[:1] == ["Address"] and len(words) > 1:
            return words[1]
    return ""
