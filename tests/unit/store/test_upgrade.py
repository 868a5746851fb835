"""A database of an older bootd, with bookings in it, becomes one of today's and loses nothing."""

import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Migrations

from bootd.boot.snapshot import Policy
from bootd.model import Assignment, LunClone, Reservation, Role, Target, TargetKind
from bootd.services import lunneeds
from bootd.store import migrations, opening
from tests.helpers.bookings import a_disk_image
from tests.helpers.deeds import a_deployment, a_node, a_pair, a_project, a_reservation, keep
from tests.helpers.site import NOON, a_host, an_image, file_store

STATES = ("booked", "active", "ended", "cancelled", "failed")


def fill_at_schema_2(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the database of a bootd that knew projects and bookings, and nothing of slots and jobs."""
    older = Migrations("bootd")
    for known in migrations.steps._migrations[:2]:
        older(name=known.name)(known.fn)
    with monkeypatch.context() as then:
        then.setattr(migrations, "steps", older)
        then.setattr(opening, "SCHEMA", 2)
        with file_store(folder) as store:
            with store.transaction("anna") as change:
                change.put_hosts([a_host(1), a_host(2)])
                change.put_memory_image(an_image())
                change.put_assignment(Assignment("node1", Target(TargetKind.LOCAL), NOON))
            keep(store, a_project(), a_disk_image())
            keep(store, *(a_reservation(number, state=state) for number, state in enumerate(STATES, 1)))


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    raw = sqlite3.connect(path)
    tables = raw.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlite%'"
    ).fetchall()
    rows = {name: raw.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}
    raw.close()
    return rows


def test_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_at_schema_2(tmp_path, monkeypatch)
    before = rows_of(tmp_path / "bootd.db")
    assert "slots" not in before
    assert len(before["reservations"]) == len(STATES)
    file_store(tmp_path).close()
    after = rows_of(tmp_path / "bootd.db")
    assert {name: after[name] for name in before if name != "_sqlite_migrations"} == {
        name: rows for name, rows in before.items() if name != "_sqlite_migrations"
    }


def test_bookings_of_then_are_found_by_their_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_at_schema_2(tmp_path, monkeypatch)
    with file_store(tmp_path) as store:
        rows = rows_of(tmp_path / "bootd.db")["reservation_nodes"]
        assert rows == [("node1", 1), ("node1", 2), ("node2", 1), ("node2", 2)]
        keep(store, *(a_deployment(number, number) for number in range(1, 6)))
        assert [each.id for each in store.deployments_on(["node1"])] == [1, 2]
        keep(store, a_reservation(2, state="ended"))
        assert [each.id for each in store.deployments_on(["node1"])] == [1]


def test_it_goes_on_as_if_it_had_always_been_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_at_schema_2(tmp_path, monkeypatch)
    with file_store(tmp_path) as store:
        assert store.places() == {}
        assert set(store.load_snapshot(Policy()).hosts) == {"node1", "node2"}
        with store.transaction("anna") as change:
            assert change.next_id(Reservation) == len(STATES) + 1
            change.make_secret("chap")
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o640}


# -- clones of LUNs before they had generations ----------------------------------------------

OLD_CLONES = {"rack.a.node1.2": 0, "rack.b.node1.2": 1, "rack-a-0123456789ab": 0, "rack.b.node2.9": 1}


def fill_at_schema_4(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the database of a bootd whose nodes 1 and 2 booted from side a, and one had a clone of b."""
    older = Migrations("bootd")
    for known in migrations.steps._migrations[:4]:
        older(name=known.name)(known.fn)
    with monkeypatch.context() as then:
        then.setattr(migrations, "steps", older)
        then.setattr(opening, "SCHEMA", 4)
        with file_store(folder) as store:
            lun: dict[str, Any] = {"slot": None, "group": "rack", "role": Role.ROOT, "side": 0}
            keep(store, a_project(), a_disk_image(), a_reservation(2, state="active"))
            keep(store, a_deployment(2, 2, state="run", flipped_at=NOON, digest="sha256:7", **lun))
            keep(store, a_node("node1", 2, volume="rack.a.node1.2", device=""))
            keep(store, a_node("node2", 2, volume="rack-a-0123456789ab", device=""))
        raw = sqlite3.connect(folder / "bootd.db")
        for volume, side in OLD_CLONES.items():
            raw.execute(
                "INSERT INTO lun_clones VALUES (?, 'rack', ?, 'node1', 'iqn', ?, 'target', 1, '[]')",
                (volume, side, volume),
            )
        raw.commit()
        raw.close()


def test_a_node_goes_on_booting_its_clone_and_what_is_not_known_of_others_is_not_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_at_schema_4(tmp_path, monkeypatch)
    with file_store(tmp_path) as store:
        found = {clone.volume: (clone.deployment, clone.digest) for clone in store.every(LunClone)}
        places = store.places()
    assert found == {
        "rack.a.node1.2": (2, "sha256:7"),
        "rack-a-0123456789ab": (2, "sha256:7"),
        "rack.b.node1.2": (2, ""),
        "rack.b.node2.9": (9, ""),
    }
    assert {host: place.clone.volume for host, place in places.items() if place.clone is not None} == {
        "node1": "rack.a.node1.2",
        "node2": "rack-a-0123456789ab",
    }


def test_what_nodes_boot_or_wrote_is_no_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_at_schema_4(tmp_path, monkeypatch)
    with file_store(tmp_path) as store:
        keep(store, a_pair("rack"))
        stale = [clone.volume for clone in lunneeds.stale_clones(store, "rack")]
    assert stale == ["rack.b.node2.9"]  # of a booking that is over
