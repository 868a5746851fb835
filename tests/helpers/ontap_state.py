"""An ONTAP system as far as bootd's calls go: the shapes of NetApp's REST reference for ONTAP 9.

Written after the published reference (docs.netapp.com/us-en/ontap-restapi, 9.10.1 to 9.17.1) and
NetApp's client library; nothing here was seen of a real system. What it plays:

* ``/storage/luns``: collection and instance; POST, also as a clone; PATCH of properties, of the
  contents as a clone, and of data (multipart, one megabyte at most); GET of data; DELETE, which is
  refused while the LUN is mapped.
* ``/protocols/san/igroups``, ``/protocols/san/lun-maps``, ``/protocols/san/iscsi/credentials``
  (passwords are never told), ``/sessions``, ``/services``; ``/network/ip/interfaces``; ``/svm/svms``.
* Only keys, names and the `fields` that were asked for are told, in pages; queries take "*".

`log_in`, `log_out` and `machine_writes` play the machines, as the iSCSI target would answer them.
"""

import re
import threading
import uuid
from collections.abc import Callable
from typing import Any

USER, PASSWORD = "bootd", "ontap-password"
SVM, VOLUME = "svm1", "vol1"
TARGET = "iqn.1992-08.com.netapp:sn.19d04b8e94d711e88370005056b48fd2:vs.4"
MEGABYTE = 1_000_000

Record = dict[str, Any]


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Ontap:
    """What the system keeps."""

    def __init__(self) -> None:
        self.svm_uuid = _new_uuid()
        self.luns: dict[str, Record] = {}
        self.contents: dict[str, bytearray] = {}
        self.igroups: dict[str, Record] = {}
        self.maps: dict[tuple[str, str], Record] = {}
        self.credentials: dict[str, Record] = {}
        self.sessions: list[Record] = []
        self.calls: list[str] = []
        self.refusals: list[tuple[str, Refused]] = []  # the next call that has these words is answered so
        self.lock = threading.RLock()

    # -- for whoever plays with it -------------------------------------------------------------

    def refuse_next(self, words: str, status: int, message: str = "internal error", code: str = "4") -> None:
        self.refusals.append((words, Refused(status, message, code)))

    def log_in(self, lun: str, initiator: str, user: str, secret: str) -> None:
        """Do what the target does at login and REPORT LUNS; raises `PermissionError`."""
        known = self.credentials.get(initiator, {"authentication_type": "none"})
        inbound = known.get("chap", {}).get("inbound", {})
        if known["authentication_type"] == "chap" and (inbound["user"], inbound["password"]) != (
            user,
            secret,
        ):
            raise PermissionError("authentication failure")
        if self.path_of(lun) not in self.seen_by(initiator):
            raise PermissionError("no such LUN")
        connection = {"cid": 0, "initiator_address": {"address": "10.0.0.21", "port": 40000}}
        session = {
            "initiator": {"name": initiator},
            "tsih": len(self.sessions) + 1,
            "target_portal_group": "lif1",
        }
        self.sessions.append({**session, "svm": self._svm(), "connections": [connection], "lun": lun})

    def log_out(self, lun: str, initiator: str) -> None:
        kept = [one for one in self.sessions if (one["lun"], one["initiator"]["name"]) != (lun, initiator)]
        self.sessions = kept

    def machine_writes(self, lun: str, initiator: str, octets: bytes) -> None:
        if self.path_of(lun) not in self.seen_by(initiator):
            raise PermissionError("no such LUN")
        self.contents[self._named(self.path_of(lun))["uuid"]][: len(octets)] = octets

    def seen_by(self, initiator: str) -> set[str]:
        with self.lock:
            groups = {
                key for key, one in self.igroups.items() if {"name": initiator} in one.get("initiators", [])
            }
            return {one["lun"]["name"] for (_, group), one in self.maps.items() if group in groups}

    def path_of(self, volume: str) -> str:
        return f"/vol/{VOLUME}/bootd_{volume}"

    # -- LUNs ------------------------------------------------------------------------------------

    def add_lun(self, body: Record) -> Record:
        path = body["name"]
        if not re.fullmatch(rf"/vol/{VOLUME}/[A-Za-z0-9._{{}}-]+", path):
            raise Refused(400, f'The LUN path "{path}" is invalid.', "5374127")
        if any(one["name"] == path for one in self.luns.values()):
            raise Refused(409, f'LUN "{path}" already exists in SVM "{SVM}".', "5374143")
        key = _new_uuid()
        source = body.get("clone", {}).get("source")
        if source is not None:
            original = self._named(source["name"])
            contents = bytearray(self.contents[original["uuid"]])
            size = original["space"]["size"]
        else:
            size = body["space"]["size"]
            contents = bytearray(size)
        plain = {"uuid": key, "name": path, "svm": self._svm(), "comment": body.get("comment", "")}
        self.luns[key] = {**plain, "space": {"size": size}, "os_type": body.get("os_type", "linux")}
        self.contents[key] = contents
        return self.luns[key]

    def change_lun(self, key: str, body: Record) -> None:
        lun = self.at(self.luns, key)
        if "clone" in body:
            original = self._named(body["clone"]["source"]["name"])
            self.contents[key] = bytearray(self.contents[original["uuid"]])
        lun.update({name: value for name, value in body.items() if name in ("comment", "name")})

    def remove_lun(self, key: str) -> None:
        self.at(self.luns, key)
        if any(lun == key for lun, _ in self.maps):
            raise Refused(409, "The LUN is mapped to one or more initiator groups.", "1254206")
        del self.luns[key], self.contents[key]

    def read_data(self, key: str, offset: int, size: int) -> bytes:
        self.at(self.luns, key)
        if not 0 < size <= MEGABYTE:
            raise Refused(400, "Reads are limited to one megabyte.", "5376461")
        return bytes(self.contents[key][offset : offset + size])

    def write_data(self, key: str, offset: int, octets: bytes) -> None:
        self.at(self.luns, key)
        if not 0 < len(octets) <= MEGABYTE or offset + len(octets) > len(self.contents[key]):
            raise Refused(400, "Writes are limited to one megabyte and the size of the LUN.", "5376461")
        self.contents[key][offset : offset + len(octets)] = octets

    # -- initiators --------------------------------------------------------------------------------

    def add_igroup(self, body: Record) -> Record:
        if any(one["name"] == body["name"] for one in self.igroups.values()):
            raise Refused(409, "An initiator group of that name exists.", "5374023")
        key = _new_uuid()
        self.igroups[key] = {**body, "uuid": key, "svm": self._svm()}
        return self.igroups[key]

    def remove_igroup(self, key: str) -> None:
        self.at(self.igroups, key)
        if any(group == key for _, group in self.maps):
            raise Refused(409, "The initiator group is mapped to LUNs.", "1254207")
        del self.igroups[key]

    def add_map(self, body: Record) -> Record:
        lun, group = self._named(body["lun"]["name"]), self.at(self.igroups, body["igroup"]["uuid"])
        at = (lun["uuid"], group["uuid"])
        if at in self.maps:
            raise Refused(409, "LUN already mapped to this group.", "5374922")
        taken = {one["logical_unit_number"] for (_, key), one in self.maps.items() if key == group["uuid"]}
        number = next(n for n in range(4096) if n not in taken)
        pick = {"lun": _pick(lun, "uuid", "name"), "igroup": _pick(group, "uuid", "name")}
        self.maps[at] = {**pick, "svm": self._svm(), "logical_unit_number": number}
        return self.maps[at]

    def add_credentials(self, body: Record) -> Record:
        if body["initiator"] in self.credentials:
            raise Refused(409, "The initiator has credentials already.", "5373948")
        self.credentials[body["initiator"]] = {**body, "svm": self._svm()}
        return self.credentials[body["initiator"]]

    # -- listings ------------------------------------------------------------------------------------

    def listing(self, path: str) -> list[Record]:
        tables: dict[str, Callable[[], list[Record]]] = {
            "/storage/luns": lambda: list(self.luns.values()),
            "/protocols/san/igroups": lambda: [self._with_maps(one) for one in self.igroups.values()],
            "/protocols/san/lun-maps": lambda: list(self.maps.values()),
            "/protocols/san/iscsi/credentials": lambda: [_silent(one) for one in self.credentials.values()],
            "/protocols/san/iscsi/sessions": lambda: self.sessions,
            "/protocols/san/iscsi/services": lambda: [
                {"svm": self._svm(), "enabled": True, "target": {"name": TARGET, "alias": SVM}}
            ],
            "/network/ip/interfaces": self._interfaces,
            "/svm/svms": lambda: [{"uuid": self.svm_uuid, "name": SVM}],
        }
        if path not in tables:
            raise Refused(404, "API not found", "3")
        return tables[path]()

    def _with_maps(self, group: Record) -> Record:
        maps = [
            {"lun": one["lun"], "logical_unit_number": one["logical_unit_number"]}
            for (_, key), one in self.maps.items()
            if key == group["uuid"]
        ]
        return {**group, "lun_maps": maps} if maps else group

    def _interfaces(self) -> list[Record]:
        rows = [
            ("10.0.0.11", "up", "data_iscsi"),
            ("10.0.0.12", "up", "data_iscsi"),
            ("fd00::11", "up", "data_iscsi"),
        ]
        rows += [("10.0.0.13", "down", "data_iscsi"), ("10.0.0.14", "up", "data_nfs")]
        return [
            {
                "uuid": _new_uuid(),
                "name": f"lif{n}",
                "svm": self._svm(),
                "ip": {"address": address},
                "state": state,
                "enabled": True,
                "services": [service],
            }
            for n, (address, state, service) in enumerate(rows)
        ]

    def _svm(self) -> Record:
        return {"name": SVM, "uuid": self.svm_uuid}

    def _named(self, path: str) -> Record:
        for lun in self.luns.values():
            if lun["name"] == path:
                return lun
        raise Refused(404, f'The LUN "{path}" was not found.', "5374875")

    def at(self, table: dict[str, Record], key: str) -> Record:
        if key not in table:
            raise Refused(404, "entry doesn't exist", "4")
        return table[key]


def _silent(credentials: Record) -> Record:
    """Return them without the password."""
    told = {**credentials}
    if "chap" in told:
        told["chap"] = {"inbound": {"user": told["chap"]["inbound"]["user"]}}
    return told


def _pick(record: Record, *names: str) -> Record:
    return {name: record[name] for name in names}


def _new_uuid() -> str:
    return str(uuid.uuid4())
