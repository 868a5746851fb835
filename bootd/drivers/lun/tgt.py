"""LUNs exported by tgtd, Debian's iSCSI target in user space: sparse files in a folder, one target each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bootd.drivers.lun import portals
from bootd.drivers.lun.base import (
    Chap,
    Export,
    LunBusy,
    LunError,
    LunRefused,
    LunsNotRestored,
    LunUnreachable,
    Session,
)
from bootd.drivers.lun.broker import PREFIX, link_of
from bootd.drivers.lun.broker import number_of as _number
from bootd.drivers.lun.brokered import Way, direct
from bootd.drivers.lun.files import FileLuns, export_of, keep_login
from bootd.drivers.lun.shelf import Login, Record
from bootd.drivers.lun.tgtd import Login as TgtdLogin
from bootd.drivers.lun.tgtd import Said, Target, Tgtd, TgtdError, unless
from bootd.drivers.tools import Tools

T = TypeVar("T")

_PATIENCE, _STEP = 5.0, 0.05  # seconds that tgtd has to end the sessions it was told to end

Targets = dict[str, Target]  # by name


class TgtLuns(FileLuns):
    """Volumes are files in *tools.folder*, each exported as LUN 1 of the target ``PREFIX:NAME``.

    What is wanted stands in the folder's records, CHAP secrets too (mode 0600); what is
    so, tgtd is asked in every call. It keeps nothing itself, so it is brought back to
    the records by whatever call comes next after its restart, or by `restore`, which a
    worker calls again and again: machines that reboot wait for no other call of ours.

    An initiator gets in by its name and its CHAP secret, both. A target without an
    account would ask for the name alone, so the rule with the name is the last thing a
    target gets and the first it loses: one that was left half made lets nobody in.
    tgtd knows accounts by user for all targets together. One that no target has is
    taken for a leftover of ours and made anew; a target of others is left alone.

    tgtd must run on this machine, as root. It obeys root alone: an ordinary user's *way*
    is a `Broker`. Each volume costs it 16 threads unless it was started with ``--nr_iothreads``.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        portals: Sequence[str] = (),
        control_port: int = 0,
        socket: Path | None = None,
        way: Way = direct,
        prefix: str = PREFIX,
    ) -> None:
        """*portals*: what machines are told, if not all addresses that tgtd listens on."""
        super().__init__(tools)
        self._tgtd = Tgtd(socket, control_port, way=way)
        self._portals = tuple(portals)
        self._prefix = prefix
        if "," in self._image(""):
            raise LunRefused("", f"{tools.folder}: tgtd cannot be told a path with a comma")

    def export(self, name: str, initiator: str, chap: Chap) -> Export:
        if "," in chap.user:
            raise LunRefused(name, f"{chap.user!r} is no CHAP name for tgtd: it has a comma")
        return super().export(name, initiator, chap)

    def failed(self, name: str) -> Mapping[str, int]:
        def deed() -> Mapping[str, int]:
            try:
                return {
                    str(session): count
                    for session, count in self._tgtd.failed(_number(self._name(name))).items()
                }
            except TgtdError as error:
                if error.said != Said.NO_TARGET:
                    raise
                return {}

        return self._ask("failed", name, deed)

    def restore(self) -> list[str]:
        """Have tgtd export what the records say; return the volumes that it did not.

        All are tried; then `LunsNotRestored` names those that cannot be.
        """

        def deed() -> list[str]:
            with self._exporting():
                restored, failures = self._settle(self._shelf.every(), self._targets())
            if failures:
                raise LunsNotRestored(failures, restored)
            return restored

        return self._ask("restore", "", deed)

    # -- what is asked of a child ------------------------------------------------------------

    def _open(self, record: Record, login: Login) -> Export:
        targets = self._targets()
        target = targets.get(self._name(record.name))
        if record.login not in (None, login) and target is not None and self._is_ours(target):
            self._bar(target)  # the rule must not stand while the record and the account differ
        record = keep_login(self._shelf, record, login)
        self._serve(record, login, targets)
        return self._export_of(record, login, self._addresses())

    def _close(self, name: str, force: bool) -> None:
        targets = self._targets()
        target = targets.get(self._name(name))
        users: set[str] = set()
        if target is not None and self._is_ours(target):
            users |= set(target.accounts)
            self._remove(name, target, force)
            del targets[target.name]
        record = self._shelf.find(name)
        if record is not None and record.login is not None:
            users.add(record.login.user)
            keep_login(self._shelf, record, None)
        for user in users:
            if not any(user in one.accounts for one in targets.values()):
                self._forget(user)

    def _exports(self, records: list[Record]) -> Mapping[str, Export]:
        _, failures = self._settle(records, self._targets())
        addresses = self._addresses()
        return {
            record.name: self._export_of(record, record.login, addresses)
            for record in records
            if record.login is not None and record.name not in failures
        }

    def _sessions(self, name: str | None) -> list[Session]:
        targets = self._targets()
        records = self._shelf.every() if name is None else [self._shelf.find(name)]
        self._settle([one for one in records if one is not None], targets)
        found = [
            (volume, login)
            for target in targets.values()
            if self._is_ours(target) and name in (None, volume := self._volume_of(target))
            for login in self._logins(target.tid)
        ]
        logins = [login for _, login in found]
        return [
            Session(
                volume, login.initiator, login.address, is_left=any(other.follows(login) for other in logins)
            )
            for volume, login in found
        ]

    # -- bringing tgtd to what the records say -----------------------------------------------

    def _settle(self, records: Sequence[Record], targets: Targets) -> tuple[list[str], dict[str, LunError]]:
        """Serve *records*, and close what no record wants; return what was not served, and what cannot be.

        A target that cannot be served is for its own caller to hear of: the others are.
        """
        changed: list[str] = []
        failures: dict[str, LunError] = {}
        for record in records:
            if record.login is not None:
                try:
                    if self._serve(record, record.login, targets):
                        changed.append(record.name)
                except (LunRefused, TgtdError) as error:
                    failures[record.name] = error
        wanted = {self._name(record.name) for record in records if record.login is not None}
        for target in [one for one in targets.values() if one.name not in wanted and one.path]:
            if self._is_ours(target) and not self._is_wanted(target):
                self._sweep(target, targets)
        return changed, failures

    def _serve(self, record: Record, login: Login, targets: Targets) -> bool:
        """Let in *login* and nobody else; return whether there was something to do."""
        target = targets.get(self._name(record.name))
        if target is not None and not self._is_there(target):
            target = None  # a machine made it up
        if target is not None and not self._is_ours(target):
            raise LunRefused(
                record.name, f"tgtd has a target {target.name} that is not ours, of {target.path}"
            )
        if target is None:
            target = self._new_target(record.name, targets)
        elif (target.accounts, target.rules) == ([login.user], [login.initiator]) and target.path:
            return False
        if not target.path:
            target.path = self._image(record.name)
            with unless(Said.LUN_EXISTS):
                self._tgtd.new_lun(target.tid, target.path)
        self._bar(target)
        for user in [one for one in target.accounts if one != login.user]:
            with unless(Said.NO_USER):
                self._tgtd.unbind_account(target.tid, user)
            target.accounts.remove(user)
        self._give_account(record.name, target, login, targets)
        self._tgtd.allow(target.tid, login.initiator)
        target.rules.append(login.initiator)
        return True

    def _new_target(self, volume: str, targets: Targets) -> Target:
        name = self._name(volume)
        target = Target(_number(name), name)
        for other in [one for one in targets.values() if one.tid == target.tid]:
            if other.name != name and self._is_there(other):
                raise LunRefused(
                    volume, f"its number is taken by tgtd's target {other.name}: name it otherwise"
                )
            del targets[other.name]
        self._tgtd.new_target(target.tid, name)
        targets[name] = target
        return target

    def _give_account(self, volume: str, target: Target, login: Login, targets: Targets) -> None:
        """Bind the account, with the secret it should have: an open target's has, others' may be old."""
        sharing = [one for one in targets.values() if login.user in one.accounts and self._is_there(one)]
        for other in sharing:
            if not self._is_ours(other):
                raise LunRefused(volume, f"CHAP user {login.user} is taken by tgtd's target {other.name}")
        if not any(one.rules for one in sharing):
            self._forget(login.user)
            for one in sharing:
                one.accounts.remove(login.user)
            self._tgtd.new_account(login.user, login.secret)
        if login.user not in target.accounts:
            with unless(Said.USER_EXISTS):
                self._tgtd.bind_account(target.tid, login.user)
            target.accounts.append(login.user)

    def _bar(self, target: Target) -> None:
        """Let nobody log in; sessions go on."""
        record = self._shelf.find(self._volume_of(target))
        known = [record.login.initiator] if record is not None and record.login is not None else []
        for rule in dict.fromkeys([*target.rules, *known]):
            with unless(Said.NO_RULE, Said.NO_TARGET):  # a machine can forge lines, and hide some of its own
                self._tgtd.forbid(target.tid, rule)
        target.rules.clear()

    def _forget(self, user: str) -> None:
        with unless(Said.NO_USER):
            self._tgtd.delete_account(user)

    def _is_wanted(self, target: Target) -> bool:
        record = self._shelf.find(self._volume_of(target))
        return record is not None and record.login is not None

    def _sweep(self, target: Target, targets: Targets) -> None:
        """Close a target that nobody wants, as soon as its machine has gone."""
        self._bar(target)
        with unless(Said.TARGET_ACTIVE, Said.NO_TARGET):
            self._tgtd.delete_target(target.tid)
            del targets[target.name]

    def _remove(self, volume: str, target: Target, force: bool) -> None:
        """Delete the target; raises `LunBusy` while there are sessions, with *force* if they will not end."""
        if force:
            self._bar(target)  # nobody comes back while the others are sent away
        waited = 0.0
        while not self._is_deleted(target.tid):
            logins = self._logins(target.tid)
            if logins and (not force or waited >= _PATIENCE):
                raise LunBusy(volume, [Session(volume, one.initiator, one.address) for one in logins])
            if waited >= _PATIENCE:
                raise LunUnreachable(volume, "tgtd keeps its target, in use by nobody")
            if force:
                self._end(target.tid, logins)
            self._tools.wait(_STEP)
            waited += _STEP

    def _is_deleted(self, tid: int) -> bool:
        try:
            self._tgtd.delete_target(tid)
        except TgtdError as error:
            if error.said in (Said.TARGET_ACTIVE, Said.LUN_ACTIVE):
                return False
            if error.said != Said.NO_TARGET:
                raise
        return True

    def _end(self, tid: int, logins: Iterable[TgtdLogin]) -> None:
        for login in logins:
            with unless(Said.NO_TARGET, Said.NO_SESSION, Said.NO_CONNECTION):  # it has gone by itself
                self._tgtd.end(tid, login.session, login.connection)

    # -- what tgtd tells ---------------------------------------------------------------------

    def _targets(self) -> Targets:
        """Return the listing, without what cannot be true; two stories of one target are none."""
        targets: Targets = {}
        for target in self._tgtd.targets():
            if not self._has_our_name(target):
                targets.setdefault(target.name, target)
            elif target.tid == _number(target.name):
                known = target.name in targets
                targets[target.name] = Target(target.tid, target.name) if known else target
        ours = {target.tid for target in targets.values() if self._has_our_name(target)}
        return {one.name: one for one in targets.values() if self._has_our_name(one) or one.tid not in ours}

    def _logins(self, tid: int) -> list[TgtdLogin]:
        try:
            return self._tgtd.logins(tid)
        except TgtdError as error:
            if error.said != Said.NO_TARGET:
                raise
            return []

    def _is_there(self, target: Target) -> bool:
        try:
            self._tgtd.logins(target.tid)
        except TgtdError as error:
            if error.said != Said.NO_TARGET:
                raise
            return False
        return True

    # -- names -------------------------------------------------------------------------------

    def _name(self, volume: str) -> str:
        return f"{self._prefix}:{volume}"

    def _image(self, volume: str) -> str:
        return str(self._shelf.image(volume).absolute())

    def _volume_of(self, target: Target) -> str:
        return target.name.removeprefix(f"{self._prefix}:")

    def _has_our_name(self, target: Target) -> bool:
        return target.name.startswith(f"{self._prefix}:")

    def _is_ours(self, target: Target) -> bool:
        """Return whether it is of our name and, if it has one, our file, as `broker.exported` names it."""
        image = self._image(self._volume_of(target))
        names = ("", image, str(link_of(self._tgtd.path, Path(image))))
        return self._has_our_name(target) and target.path in names

    def _addresses(self) -> tuple[str, ...]:
        return self._portals or portals.reachable(self._tgtd.portals())

    def _export_of(self, record: Record, login: Login, addresses: tuple[str, ...]) -> Export:
        return export_of(record, login, self._name(record.name), addresses)

    def _perform(self, verb: str, name: str, deed: Callable[[], T]) -> T:
        try:
            return deed()
        except TgtdError as error:
            raise LunUnreachable(name, f"{verb}: {error.reason}") from error
