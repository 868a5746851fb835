"""Questions about places, deployments and jobs, on SQLite."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bootd.model import (
    DeployedNode,
    Deployment,
    DiskImage,
    Job,
    JobPart,
    Lease,
    LunClone,
    Place,
    Reservation,
    Role,
    parse_image_ref,
)
from bootd.model.jobs import LONGEST_WAIT
from bootd.store import deeds, rows
from bootd.store.asking import Asking, as_list, marks
from bootd.store.deeds import DEPLOYED_NODE, DEPLOYMENT, JOB, LUN_CLONE
from bootd.store.reads import Reads
from bootd.store.records import DISK_IMAGE, KINDS, RESERVATION

_AMONG = "IN (SELECT value FROM json_each(?))"

_PLACES = f"""
SELECT each.value AS host, d.id AS deployment, d.reservation, r.project, d.role, d.image, d.slot,
  d.flipped_at, d.state AS deployment_state, d.note AS deployment_note,
  n.state AS node_state, n.note AS node_note, n.device, {", ".join("c." + c for c in LUN_CLONE.columns)}
FROM reservations r JOIN deployments d ON d.reservation = r.id JOIN json_each(d.nodes) AS each
LEFT JOIN deployed_nodes n ON n.deployment = d.id AND n.node = each.value
LEFT JOIN lun_clones c ON c.volume = n.volume
WHERE r.state = 'active' AND d.state != 'dark'
"""


class DeedReads(Asking, Reads):
    """See `Reads`."""

    def images_of(self, project: str) -> list[DiskImage]:
        return self._all(DISK_IMAGE, "ref", "WHERE project = ?", (project,))

    def reservations_in(
        self, states: Sequence[str], *, starts_before: datetime | None = None, project: str | None = None
    ) -> list[Reservation]:
        before = None if starts_before is None else rows.instant(starts_before)
        tests = {"starts_at < ?": before, "project = ?": project}
        given = {test: value for test, value in tests.items() if value is not None}
        where = " AND ".join([f"state IN ({marks(states)})", *given])
        return self._all(RESERVATION, "starts_at, id", f"WHERE {where}", (*states, *given.values()))

    def bookings_of_images(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for row in self._ask(
            "SELECT json_extract(each.value, '$.image') AS ref, reservations.id"
            " FROM reservations, json_each(reservations.images) AS each"
            " WHERE state IN ('booked', 'active') ORDER BY reservations.id"
        ):
            found.setdefault(row["ref"], []).append(row["id"])
        return found

    def tally(self, kind: type[DiskImage | Reservation], states: Sequence[str]) -> dict[str, int]:
        table = KINDS[kind].table
        found = self._ask(
            f"SELECT project, count(*) AS n FROM {table} WHERE state IN ({marks(states)}) GROUP BY project",
            states,
        )
        return {row["project"]: row["n"] for row in found}

    def clones(self, group: str, side: int | None = None) -> list[LunClone]:
        which, values = ("AND side = ?", (group, side)) if side is not None else ("", (group,))
        return self._all(LUN_CLONE, "volume", f"WHERE group_name = ? {which}", values)

    def deployments_of(self, reservation: int) -> list[Deployment]:
        return self._all(DEPLOYMENT, "id", "WHERE reservation = ?", (reservation,))

    def deployments_for(self, reservations: Iterable[int]) -> list[Deployment]:
        return self._all(DEPLOYMENT, "id", f"WHERE reservation {_AMONG}", (as_list(reservations),))

    def deployments_in(self, states: Sequence[str]) -> list[Deployment]:
        return self._all(DEPLOYMENT, "id", f"WHERE state IN ({marks(states)})", states)

    def deployments_on(self, nodes: Iterable[str]) -> list[Deployment]:
        return self._all(
            DEPLOYMENT,
            "id",
            f"WHERE reservation IN (SELECT DISTINCT reservation FROM reservation_nodes WHERE node {_AMONG})",
            (as_list(nodes),),
        )

    def deployed_nodes(self, deployment: int) -> list[DeployedNode]:
        return self._all(DEPLOYED_NODE, "node", "WHERE deployment = ?", (deployment,))

    def places(self, hosts: Iterable[str] | None = None) -> dict[str, Place]:
        if hosts is None:
            found = self._ask(_PLACES)
        else:
            found = self._ask(f"{_PLACES} AND each.value {_AMONG}", (as_list(hosts),))
        return {row["host"]: _place(row) for row in found}

    def jobs(
        self,
        *,
        states: Sequence[str] = (),
        kind: str | None = None,
        reservation: int | None = None,
        deployment: int | None = None,
        limit: int = 1000,
    ) -> list[Job]:
        named = {"kind": kind, "reservation": reservation, "deployment": deployment}
        given = {column: value for column, value in named.items() if value is not None}
        tests = [f"{column} = ?" for column in given]
        tests += [f"state IN ({marks(states)})"] if states else []
        where = "WHERE " + " AND ".join(tests) if tests else ""
        return self._all(JOB, f"id DESC LIMIT {int(limit)}", where, (*given.values(), *states))

    def jobs_due(self, now: datetime) -> list[Job]:
        ahead = rows.instant(now + LONGEST_WAIT)
        where = "WHERE state IN ('waiting', 'running') AND (due_at <= ? OR due_at > ?)"
        return self._all(JOB, "due_at, id", where, (rows.instant(now), ahead))

    def job_parts(self, job: int) -> list[JobPart]:
        found = self._ask("SELECT * FROM job_parts WHERE job = ? ORDER BY node", (job,))
        return [deeds.job_part(row) for row in found]

    def spoken_parts(self, job: int) -> list[JobPart]:
        found = self._ask("SELECT * FROM job_parts WHERE job = ? AND word <> '' ORDER BY node", (job,))
        return [deeds.job_part(row) for row in found]

    def open_parts_of(self, node: str) -> list[JobPart]:
        found = self._ask(
            "SELECT job_parts.* FROM job_parts JOIN jobs ON jobs.id = job_parts.job"
            " WHERE node = ? AND jobs.state IN ('waiting', 'running') ORDER BY job",
            (node,),
        )
        return [deeds.job_part(row) for row in found]

    def lease(self, name: str) -> Lease | None:
        found = self._ask("SELECT * FROM leases WHERE name = ?", (name,))
        return _lease(found[0]) if found else None

    def leases(self) -> list[Lease]:
        return [_lease(row) for row in self._ask("SELECT * FROM leases ORDER BY name")]

    def secret(self, name: str) -> bytes | None:
        found = self._ask("SELECT value FROM secrets WHERE name = ?", (name,))
        return bytes(found[0]["value"]) if found else None


def _lease(row: Mapping[str, Any]) -> Lease:
    return Lease(row["name"], row["holder"], rows.parse_instant(row["until"]))


def _place(row: Mapping[str, Any]) -> Place:
    state, note = _standing(row)
    clone = LUN_CLONE.decode(row) if row["volume"] is not None else None
    return Place(
        reservation=row["reservation"],
        project=row["project"],
        deployment=row["deployment"],
        role=Role(row["role"]),
        image=parse_image_ref(row["image"]),
        state=state,
        note=note,
        slot=row["slot"],
        device=row["device"] or "",
        clone=None if clone is None else deeds.clone_of(clone),
    )


def _standing(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state of the node and why: nothing is booted from a place before the flip."""
    if row["deployment_state"] == "failed":
        return "failed", row["deployment_note"]
    if row["node_state"] == "failed":
        return "failed", row["node_note"]
    if row["flipped_at"] is None or row["node_state"] is None:
        return "waiting", row["deployment_note"]
    return row["node_state"], row["node_note"]
