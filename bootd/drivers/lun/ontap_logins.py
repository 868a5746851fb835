"""Who may log in to which LUN of ONTAP, and who has: initiator groups, maps, CHAP credentials, sessions."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from bootd.drivers.lun.base import Chap, Export, LunBusy, LunRefused, LunUnreachable, Session
from bootd.drivers.lun.names import volume_name
from bootd.drivers.lun.ontap_notes import GroupNote, group_note, note_of
from bootd.drivers.lun.ontap_rest import Absent, OntapRest, Row

PREFIX = "bootd_"  # no volume's name has an underscore
OS_TYPE = "linux"


@dataclass(frozen=True, slots=True)
class Group:
    """An initiator group of ours: one initiator, and the LUNs that it sees."""

    uuid: str
    initiator: str
    note: GroupNote
    luns: tuple[tuple[str, int], ...]  # the volume's name, its number
    others: int = 0  # LUNs that somebody else had it see

    def has(self, volume: str) -> bool:
        return any(name == volume for name, _ in self.luns)


class OntapLogins:
    """To be used with the lock on all logins held, where something is changed."""

    def __init__(self, rest: OntapRest, portals: Sequence[str]) -> None:
        self._rest, self._portals = rest, tuple(portals)
        self._svm = rest.site.svm
        self._start = f"/vol/{rest.site.volume}/{PREFIX}"  # of our LUNs' names

    # -- what is told ------------------------------------------------------------------------

    def groups(self, volume: str | None = None) -> list[Group]:
        """Return our groups, or those of them that see *volume*."""
        query = {"svm.name": self._svm, "name": f"{PREFIX}*"}
        rows = self._rest.rows("Igroup", "comment,initiators,lun_maps", **query)
        groups = [group for row in rows if (group := self._group_of(row)) is not None]
        return [group for group in groups if volume is None or group.has(volume)]

    def _group_of(self, row: Row) -> Group | None:
        note = group_note(row.get("comment") or "")
        initiators = [one["name"] for one in row.get("initiators", [])]
        if note is None or len(initiators) != 1:
            return None
        luns = [(one["lun"]["name"], one["logical_unit_number"]) for one in row.get("lun_maps", [])]
        ours = [(path.removeprefix(self._start), n) for path, n in luns if path.startswith(self._start)]
        return Group(row["uuid"], initiators[0], note, tuple(ours), len(luns) - len(ours))

    def exports(self, groups: Sequence[Group]) -> dict[str, Export]:
        """Return them by the volume's name."""
        if not any(group.luns for group in groups):
            return {}
        target, portals = self._target(), self._portals or self._addresses()
        return {
            name: Export(name, group.initiator, group.note.user, target, number, portals)
            for group in groups
            for name, number in group.luns
        }

    def sessions(self, groups: Sequence[Group]) -> list[Session]:
        """Return the sessions of the machines that see a volume, for each volume that they see."""
        if not any(group.luns for group in groups):
            return []
        rows = self._rest.rows("IscsiSession", "initiator,connections", **{"svm.name": self._svm})
        logins = [(row["initiator"]["name"], _address(row)) for row in rows]
        found = [
            Session(name, group.initiator, address)
            for group in groups
            for name, _ in group.luns
            for initiator, address in logins
            if initiator == group.initiator
        ]
        return list(dict.fromkeys(found))

    def _target(self) -> str:
        rows = self._rest.rows("IscsiService", "target.name,enabled", **{"svm.name": self._svm})
        targets = [str(row["target"]["name"]) for row in rows if row.get("enabled")]
        if not targets:
            raise LunRefused("", f"SVM {self._svm} has no iSCSI service that is enabled")
        return targets[0]

    def _addresses(self) -> tuple[str, ...]:
        query = {"svm.name": self._svm, "services": "data_iscsi", "enabled": "true"}
        rows = self._rest.rows("IpInterface", "ip.address,state", **query)
        up = sorted(str(row["ip"]["address"]) for row in rows if row.get("state") == "up")
        ipv4 = tuple(f"{address}:3260" for address in up if ":" not in address)  # machines boot over IPv4
        if not ipv4:
            raise LunUnreachable("", f"SVM {self._svm} has no IPv4 address for iSCSI that is up")
        return ipv4

    # -- what is changed ---------------------------------------------------------------------

    def let_in(self, volume: str, initiator: str, chap: Chap) -> None:
        """Have *initiator*, and nobody else, log in with *chap* and see *volume*."""
        groups = self.groups()
        _check(volume, initiator, chap, groups)
        mine = next((one for one in groups if one.initiator == initiator), None)
        group = mine or self._new_group(volume, initiator, chap)
        self._set_credentials(initiator, chap)
        note = note_of(chap, secrets.token_bytes(16)).text()
        self._rest.change("Igroup", {"uuid": group.uuid}, {"comment": note})
        if not group.has(volume):  # last of all: until then it sees nothing
            self._rest.make("LunMap", {"lun": {"name": self._start + volume}, "igroup": {"uuid": group.uuid}})

    def shut_out(self, volume: str, uuid: str, *, force: bool) -> None:
        """Have nobody see *volume*, the LUN *uuid*; raises `LunBusy`."""
        groups = self.groups(volume)
        sessions = [one for one in self.sessions(groups) if one.volume == volume]
        if sessions and not force:
            raise LunBusy(volume, sessions)
        for group in groups:
            self._rest.remove("LunMap", {"lun.uuid": uuid, "igroup.uuid": group.uuid})
            if len(group.luns) + group.others == 1:  # it sees nothing any more
                self._rest.remove("IscsiCredentials", self._credentials(group.initiator))
                self._rest.remove("Igroup", {"uuid": group.uuid})

    def _new_group(self, volume: str, initiator: str, chap: Chap) -> Group:
        """Make the group before the credentials: it says that those are ours, also after we were killed."""
        name = PREFIX + volume_name(initiator)
        if self._rest.rows("Igroup", "comment", **{"svm.name": self._svm, "name": name}):
            raise LunRefused(volume, f"ONTAP has an initiator group {name} that is not bootd's")
        query = {"svm.name": self._svm, "initiator": initiator}
        if self._rest.rows("IscsiCredentials", "initiator", **query):
            raise LunRefused(volume, f"ONTAP has CHAP credentials of {initiator} that are not bootd's")
        note = note_of(chap, secrets.token_bytes(16)).text()
        new = {"name": name, "os_type": OS_TYPE, "protocol": "iscsi", "comment": note}
        self._rest.make("Igroup", {**new, "initiators": [{"name": initiator}]})
        for group in self.groups():
            if group.initiator == initiator:
                return group
        raise LunUnreachable(volume, f"the initiator group {name} is gone again")

    def _set_credentials(self, initiator: str, chap: Chap) -> None:
        inbound = {"inbound": {"user": chap.user, "password": chap.secret}}
        properties = {"authentication_type": "chap", "chap": inbound}
        try:
            self._rest.change("IscsiCredentials", self._credentials(initiator), properties)
        except Absent:
            self._rest.make("IscsiCredentials", {"initiator": initiator, **properties})

    def _credentials(self, initiator: str) -> dict[str, str]:
        rows = self._rest.rows("Svm", "uuid", name=self._svm)
        if not rows:
            raise LunRefused("", f"{self._rest.site.host} has no SVM {self._svm}")
        return {"svm.uuid": rows[0]["uuid"], "initiator": initiator}


def _check(volume: str, initiator: str, chap: Chap, groups: Sequence[Group]) -> None:
    """Raise `LunRefused` where others' exports do not go together with this one."""
    for group in groups:
        if group.has(volume) and group.initiator != initiator:
            raise LunRefused(volume, f"is exported to {group.initiator}, each volume to one initiator")
        other = next((name for name, _ in group.luns if name != volume), None)
        if other is None:
            continue
        user = group.note.user
        if group.initiator == initiator and user != chap.user:
            raise LunRefused(
                volume, f"ONTAP knows {initiator} by one CHAP user, {user} for volume {other} too"
            )
        if user == chap.user and not group.note.knows(chap):
            raise LunRefused(volume, f"CHAP user {user} has another secret for volume {other}, and only one")


def _address(session: Row) -> str:
    connections = session.get("connections") or [{}]
    return str(connections[0].get("initiator_address", {}).get("address", ""))
