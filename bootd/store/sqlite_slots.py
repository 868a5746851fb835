"""Questions about where images are, on SQLite.

There are hundreds of thousands of slots, so that most answers are sums. The key of a slot is ``host/number``
and "0" follows "/": the slots of a host are one stretch of the table.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from bootd.lifecycle.placement import Need, Standing
from bootd.model import Deployment, Schemes, Slot, parse_image_ref
from bootd.store import rows
from bootd.store.asking import Asking, as_list
from bootd.store.deeds import DEPLOYMENT, SLOT, SLOT_SCHEME
from bootd.store.entries import SlotContent
from bootd.store.reads import Reads

_AMONG = "IN (SELECT value FROM json_each(?))"
_OF_HOSTS = """
json_each(:hosts) AS each JOIN slots ON slots.key > each.value || '/' AND slots.key < each.value || '0'
"""
_HOLDS = "state = 'ready' AND digest = :digest"
_HELD = f"SELECT number, count(*) AS held FROM {_OF_HOSTS} WHERE {_HOLDS} GROUP BY number"
_OTHERS = f"""
SELECT number, count(image) AS evicted,
  min(CASE state WHEN 'writing' THEN host END) AS writing,
  min(CASE pinned WHEN 1 THEN host || ' (' || coalesce(image, state) || ')' END) AS pinned,
  max(CASE WHEN image IS NOT NULL THEN last_used_at END) AS last_used_at
FROM {_OF_HOSTS} WHERE NOT ({_HOLDS}) GROUP BY number
"""
_NEEDS = f"""
SELECT reservation, slot, nodes, digest, image FROM deployments
WHERE slot IS NOT NULL AND state NOT IN ('dark', 'failed')
  AND reservation IN (SELECT reservation FROM reservation_nodes WHERE node {_AMONG})
ORDER BY id
"""
_CONTENTS = """
SELECT number, state, image, pinned, group_concat(host, ' ') AS hosts, max(last_used_at) AS last_used_at
"""
_BY_CONTENT = "GROUP BY number, state, image, pinned"


class SlotReads(Asking, Reads):
    """See `Reads`."""

    def slots(self, hosts: Iterable[str] | None = None, number: int | None = None) -> list[Slot]:
        tests: list[str] = []
        values: list[Any] = []
        if hosts is not None and number is not None:  # the whole keys are known: no host is read through
            tests, values = [f"key {_AMONG}"], [as_list(f"{host}/{number}" for host in hosts)]
        elif hosts is not None:
            tests, values = [f"host {_AMONG}"], [as_list(hosts)]
        elif number is not None:
            tests, values = ["number = ?"], [number]
        where = "WHERE " + " AND ".join(tests) if tests else ""
        return self._all(SLOT, "host, number", where, values)

    def schemes(self) -> Schemes:
        return Schemes({scheme.group: scheme for scheme in self._all(SLOT_SCHEME, "key")})

    def slot_standings(self, hosts: Iterable[str], digest: str) -> list[Standing]:
        values = {"hosts": as_list(hosts), "digest": digest}
        held = {row["number"]: row["held"] for row in self._ask(_HELD, values)}
        others = {row["number"]: row for row in self._ask(_OTHERS, values)}
        return [
            _standing(number, held.get(number, 0), others.get(number))
            for number in sorted(held.keys() | others.keys())
        ]

    def slot_needs(self, hosts: Iterable[str]) -> list[Need]:
        return [
            Need(row["reservation"], row["slot"], frozenset(json.loads(row["nodes"])), row["digest"], ref)
            for row in self._ask(_NEEDS, (as_list(hosts),))
            for ref in (parse_image_ref(row["image"]),)
        ]

    def lun_deployments(self, group: str, starts_at: datetime, ends_at: datetime) -> list[Deployment]:
        overlapping = "SELECT id FROM reservations WHERE ends_at > ? AND starts_at < ?"
        return self._all(
            DEPLOYMENT,
            "id",
            "WHERE group_name = ? AND state NOT IN ('dark', 'failed')"
            f" AND reservation IN ({overlapping} AND state IN ('booked', 'active'))",
            (group, rows.instant(starts_at), rows.instant(ends_at)),
        )

    def slot_contents(self, hosts: Iterable[str] | None = None) -> list[SlotContent]:
        if hosts is None:
            found = self._ask(f"{_CONTENTS} FROM slots {_BY_CONTENT}")
        else:
            found = self._ask(f"{_CONTENTS} FROM {_OF_HOSTS} {_BY_CONTENT}", {"hosts": as_list(hosts)})
        return [_content(row) for row in found]


def _standing(number: int, held: int, others: Any) -> Standing:
    if others is None:
        return Standing(number, held)
    used = others["last_used_at"]
    return Standing(
        number=number,
        held=held,
        evicted=others["evicted"],
        writing=others["writing"] or "",
        pinned=others["pinned"] or "",
        last_used_at=None if used is None else rows.parse_instant(used),
    )


def _content(row: Any) -> SlotContent:
    used = row["last_used_at"]
    return SlotContent(
        number=row["number"],
        state=row["state"],
        image=None if row["image"] is None else parse_image_ref(row["image"]),
        pinned=bool(row["pinned"]),
        last_used_at=None if used is None else rows.parse_instant(used),
        hosts=row["hosts"].split(),
    )
