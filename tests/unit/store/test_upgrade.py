"""A database of an older bootd, with bookings in it, becomes one of today's and loses nothing."""

import sqlite3
import stat
from pathlib import Path

import pytest
from sqlite_utils import Migrations

from bootd.boot.snapshot import Policy
from bootd.model import Assignment, Reservation, Target, TargetKind
from bootd.store import migrations, opening
from tests.helpers.bookings import a_disk_image
from tests.helpers.deeds import a_deployment, a_project, a_reservation, keep
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
