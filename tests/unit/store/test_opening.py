"""Opening a database: new, old, too new, not ours, not permitted, held by others."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from bootd.boot.snapshot import Policy
from bootd.errors import BadValue, StoreBusy, StoreFailed, StoreFull, StoreTooNew
from bootd.store import migrations, open_store, opening
from tests.helpers.namespace import need_root
from tests.helpers.site import HandClock, a_host, file_store

_NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may go into; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Give up root's rights for a while; nothing to give up where we have none."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_new_database_is_readable_by_its_group_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with file_store(tmp_path) as store, store.transaction("anna") as change:
            change.put_host(a_host())
            modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert modes == {0o640}


def test_what_root_writes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    need_root()  # nobody else may give files away
    os.chown(tmp_path, 1234, 2345)
    with file_store(tmp_path) as store, store.transaction("root") as change:
        change.put_host(a_host())
        owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()}
    assert owners == dict.fromkeys(("bootd.db", "bootd.db-wal", "bootd.db-shm"), (1234, 2345))


def test_folders_above_are_made(tmp_path: Path) -> None:
    file_store(tmp_path / "a" / "b").close()
    assert (tmp_path / "a" / "b" / "bootd.db").exists()


def test_it_is_in_wal_mode_with_foreign_keys(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/bootd.db", clock=HandClock()) as store:
        asked = [store._ask(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "foreign_keys")]
    assert asked == ["wal", 1]


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    file_store(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "bootd.db")
    raw.execute(f"PRAGMA user_version = {opening.SCHEMA + 1}")
    raw.close()
    with pytest.raises(StoreTooNew, match="start the newer bootd"):
        file_store(tmp_path)


def test_the_number_of_the_schema_is_the_number_of_migrations() -> None:
    assert len(migrations.steps._migrations) == opening.SCHEMA


def test_a_text_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "bootd.db").write_text("this is the host table, is it not?\n" * 50)
    with pytest.raises(StoreFailed, match="not a database of bootd"):
        file_store(tmp_path)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "bootd.db")
    raw.execute("CREATE TABLE cookies (name)")
    raw.close()
    with pytest.raises(StoreFailed, match="another program"):
        file_store(tmp_path)


def test_a_folder_in_its_place_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "bootd.db").mkdir()
    with pytest.raises(StoreFailed, match="cannot open"):
        file_store(tmp_path)


def test_a_file_in_place_of_the_folder_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreFailed, match="cannot create"):
        file_store(tmp_path / "data")


def test_a_database_of_others_is_one_clear_sentence(open_folder: Path) -> None:
    with file_store(open_folder) as store, store.transaction("anna") as change:
        change.put_host(a_host())
    (open_folder / "bootd.db").chmod(0o444)
    with as_ordinary_user():
        store = file_store(open_folder)
        with pytest.raises(StoreFailed, match="no permission"), store.transaction("ben") as change:
            change.put_host(a_host(2))
        store.close()


def test_a_database_that_may_not_be_read_is_one_clear_sentence(open_folder: Path) -> None:
    file_store(open_folder).close()
    (open_folder / "bootd.db").chmod(0o000)
    with as_ordinary_user(), pytest.raises(StoreFailed, match="no permission"):
        file_store(open_folder)


def test_a_folder_that_may_not_be_written_is_one_clear_sentence(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with as_ordinary_user(), pytest.raises(StoreFailed, match=r"cannot create .*: Permission denied"):
        file_store(open_folder)


@pytest.mark.parametrize("url", ["bootd.db", "sqlite:bootd.db", "sqlite://bootd.db", "postgresql://x/y"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadValue, match="sqlite:////"):
        open_store(url, clock=HandClock())


def test_a_held_database_is_busy_and_well_again_afterwards(tmp_path: Path) -> None:
    with file_store(tmp_path) as one, file_store(tmp_path, busy_timeout_s=0) as two:
        busy = pytest.raises(StoreBusy, match="held by another process")
        with one.transaction("anna"), busy, two.transaction("ben"):
            pytest.fail("two write at once")
        with two.transaction("ben") as change:
            change.put_host(a_host())
        assert one.hosts() == [a_host()]


def test_a_full_disk_undoes_the_whole_transaction(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/bootd.db", clock=HandClock()) as store:
        pages = store._ask("PRAGMA page_count")[0][0]
        store._ask(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreFull, match="no room left"), store.transaction("anna") as change:
            change.put_hosts(a_host(n, settings={"note": "x" * 200}) for n in range(1, 200))
        assert store.hosts() == []
        store._ask("PRAGMA max_page_count = 10000")
        with store.transaction("anna") as change:
            change.put_host(a_host())
        assert store.hosts() == [a_host()]


def test_another_connection_sees_the_data_version_move(tmp_path: Path) -> None:
    with file_store(tmp_path) as reader, file_store(tmp_path) as writer:
        before = reader.data_version()
        assert reader.data_version() == before
        with writer.transaction("anna") as change:
            change.put_host(a_host())
        assert reader.data_version() != before


def test_a_snapshot_is_of_one_instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with file_store(tmp_path) as reader, file_store(tmp_path) as writer:
        with writer.transaction("anna") as change:
            change.put_host(a_host(1))
        hosts = reader.hosts

        def hosts_then_a_commit() -> list[object]:
            found = hosts()
            with writer.transaction("ben") as change:
                change.remove_host("node1")
            return list(found)

        monkeypatch.setattr(reader, "hosts", hosts_then_a_commit)
        generation = reader.generation()
        snapshot = reader.load_snapshot(Policy())
        assert (snapshot.generation, set(snapshot.hosts)) == (generation, {"node1"})
        assert writer.hosts() == []


def test_opening_a_finished_database_does_not_load_sqlite_utils(tmp_path: Path) -> None:
    file_store(tmp_path).close()
    program = (
        "import sys\nfrom bootd.store import open_store\nfrom bootd.clock import utc_now\n"
        f"open_store('sqlite:///{tmp_path}/bootd.db', clock=utc_now).close()\n"
        "assert 'sqlite_utils' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


def _with_a_further_migration(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """Make this bootd one whose schema has a further step."""
    steps = Migrations("bootd")
    for known in migrations.steps._migrations:
        steps(name=known.name)(known.fn)

    def second(db: Database) -> None:
        db.execute("ALTER TABLE hosts ADD COLUMN second TEXT")
        db.execute(statement)

    steps(name="second")(second)
    monkeypatch.setattr(migrations, "steps", steps)
    monkeypatch.setattr(opening, "SCHEMA", opening.SCHEMA + 1)


def test_an_older_schema_is_brought_up_and_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with file_store(tmp_path) as store, store.transaction("anna") as change:
        change.put_host(a_host())
    _with_a_further_migration(monkeypatch, "UPDATE hosts SET second = 'x'")
    with file_store(tmp_path) as store:
        assert store.hosts() == [a_host()]
    raw = sqlite3.connect(tmp_path / "bootd.db")
    assert raw.execute("SELECT second FROM hosts").fetchall() == [("x",)]
    assert raw.execute("PRAGMA user_version").fetchone() == (opening.SCHEMA,)
    raw.close()


def test_a_migration_that_fails_leaves_the_old_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with file_store(tmp_path) as store, store.transaction("anna") as change:
        change.put_host(a_host())
    with monkeypatch.context() as newer:
        _with_a_further_migration(newer, "UPDATE no_such_table SET x = 1")
        with pytest.raises(StoreFailed, match="no such table"):
            file_store(tmp_path)
    with file_store(tmp_path) as store:
        assert store.hosts() == [a_host()]
