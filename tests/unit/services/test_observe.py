"""The observer: what it is told is written, in batches, whatever the database does meanwhile."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bootd.errors import StoreBusy
from bootd.model import Observation, Override, Sighting, Target, TargetKind
from bootd.services import observe
from bootd.services.observe import Observer
from bootd.services.reports import Word
from bootd.store import Store
from tests.helpers.deeds import put_in_place
from tests.helpers.site import NOON, HandClock, a_host, file_store

PATIENCE_S = 20.0  # how long a test waits for another thread before it gives up


def seen(text: str, seconds: float = 0) -> Observation:
    return Observation(NOON + timedelta(seconds=seconds), a_host().mac, "node1", "http.file_sent", text)


def a_sighting(seconds: float = 0, mac: str = "52:54:00:00:00:99") -> Sighting:
    at = NOON + timedelta(seconds=seconds)
    return Sighting(mac, "x86-bios", at, at, 1, "unknown-machine")


def an_observer(open_store: Callable[[], Store], **how: object) -> Observer:
    quick = {"clock": HandClock(), "batch_every_s": 0.001, "retry_every_s": 0.001}
    return Observer(open_store, **quick | how)  # type: ignore[arg-type]


def texts(folder: Path) -> list[str]:
    with file_store(folder) as store:
        return [kept.observation.text for kept in store.observations()]


class Reluctant:
    """Opens a store whose database is locked for the first so many times."""

    def __init__(self, folder: Path, refusals: int) -> None:
        self.folder, self.refusals = folder, refusals

    def __call__(self) -> Store:
        if self.refusals > 0:
            self.refusals -= 1
            raise StoreBusy("bootd.db is held by another process")
        return file_store(self.folder)


def test_what_is_recorded_is_written_in_its_order(tmp_path: Path) -> None:
    observer = an_observer(lambda: file_store(tmp_path))
    observer.start()
    for number in range(500):
        observer.record(seen(str(number)))
    observer.close()
    assert texts(tmp_path) == [str(number) for number in range(500)]
    assert (observer.written, observer.dropped) == (500, 0)


def test_what_was_recorded_before_the_start_is_written_too(tmp_path: Path) -> None:
    observer = an_observer(lambda: file_store(tmp_path))
    observer.record(seen("early"))
    observer.start()
    observer.close()
    assert texts(tmp_path) == ["early"]


def test_closing_what_was_never_started_does_not_wait(tmp_path: Path) -> None:
    an_observer(lambda: file_store(tmp_path)).close()


def test_sightings_add_up_across_batches(tmp_path: Path) -> None:
    for start in (0, 10):
        observer = an_observer(lambda: file_store(tmp_path))
        for second in range(start, start + 3):
            observer.sighting(a_sighting(second))
        observer.start()
        observer.close()
    with file_store(tmp_path) as store:
        [found] = store.sightings()
    assert (found.questions, found.first_seen_at) == (6, NOON)
    assert found.last_seen_at == NOON + timedelta(seconds=12)


def test_a_used_override_goes_and_is_announced_after_the_commit(tmp_path: Path) -> None:
    override = Override(1, "node1", Target(TargetKind.LOCAL), NOON, NOON + timedelta(hours=1))
    with file_store(tmp_path) as store, store.transaction("anna") as change:
        change.put_host(a_host())
        change.put_override(override)
    told: list[object] = []

    def committed() -> None:
        with file_store(tmp_path) as store:
            told.append(store.overrides())

    observer = an_observer(
        lambda: file_store(tmp_path), committed=committed, used_up=lambda used, why: told.append((used, why))
    )
    observer.override_used(1, "the node reported running")
    observer.override_used(7, "of an order that is long gone")
    observer.start()
    observer.close()
    assert told == [[], (override, "the node reported running")]


def test_observations_alone_announce_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    observer = an_observer(lambda: file_store(tmp_path), committed=lambda: told.append("committed"))
    observer.record(seen("x"))
    observer.start()
    observer.close()
    assert told == []


def test_a_word_is_taken_down_after_what_was_recorded_before_it(tmp_path: Path) -> None:
    with file_store(tmp_path) as store:
        with store.transaction("anna") as change:
            change.put_host(a_host())
        put_in_place(store)
        place = store.places()["node1"]
    told: list[str] = []
    observer = an_observer(lambda: file_store(tmp_path), committed=lambda: told.append("committed"))
    fetched = Observation(
        NOON, a_host().mac, "node1", "http.script_sent", f"fetched its ipxe script: {place}"
    )
    observer.record(fetched)
    observer.heard(Word("node1", "running", "", NOON + timedelta(seconds=30)))
    observer.start()
    observer.close()
    with file_store(tmp_path) as store:
        assert store.places()["node1"].state == "running"
        assert store.journal(limit=1)[0].what == "reports"
    assert told == ["committed"]


def test_words_that_change_nothing_announce_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    observer = an_observer(lambda: file_store(tmp_path), committed=lambda: told.append("committed"))
    observer.heard(Word("node1", "running", "", NOON))
    observer.start()
    observer.close()
    assert (told, observer.dropped) == ([], 0)


def test_words_beyond_the_bound_are_counted(tmp_path: Path) -> None:
    observer = an_observer(lambda: file_store(tmp_path), queue_max=2)
    for _ in range(5):
        observer.heard(Word("node1", "running", "", NOON))
    assert observer.dropped == 3


def test_a_locked_database_delays_and_loses_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    well = threading.Event()

    def trouble(text: str) -> None:
        told.append(text)
        if not text:
            well.set()

    observer = an_observer(Reluctant(tmp_path, 3), trouble=trouble)
    observer.start()
    observer.record(seen("one"))
    observer.sighting(a_sighting())
    assert well.wait(PATIENCE_S)
    observer.record(seen("two"))
    observer.close()
    assert texts(tmp_path) == ["one", "two"]
    assert told[0] == "what machines did cannot be written down: bootd.db is held by another process"
    assert told[-1] == ""
    assert observer.dropped == 0


def test_a_queue_that_is_full_drops_the_newest_and_counts(tmp_path: Path) -> None:
    observer = an_observer(lambda: file_store(tmp_path), queue_max=3)
    for number in range(5):
        observer.record(seen(str(number)))
    observer.start()
    observer.close()
    assert texts(tmp_path) == ["0", "1", "2"]
    assert observer.dropped == 2


def test_a_database_that_stays_locked_costs_what_was_waiting(tmp_path: Path) -> None:
    observer = an_observer(Reluctant(tmp_path, 10**9))
    observer.start()
    observer.record(seen("lost"))
    observer.close()
    assert (observer.written, observer.dropped) == (0, 1)


def test_a_bug_in_one_batch_does_not_end_the_writing(tmp_path: Path) -> None:
    troubled = threading.Event()
    observer = an_observer(lambda: file_store(tmp_path), trouble=lambda text: troubled.set())
    observer.start()
    observer.record(None)  # type: ignore[arg-type]
    assert troubled.wait(PATIENCE_S)
    observer.record(seen("later"))
    observer.close()
    assert texts(tmp_path) == ["later"]
    assert observer.dropped == 1


def test_old_observations_are_forgotten(tmp_path: Path) -> None:
    with file_store(tmp_path) as store, store.transaction("bootd") as change:
        change.add_observations([seen("old")])
    clock = HandClock(NOON + observe.KEEP + timedelta(seconds=1))
    observer = an_observer(lambda: file_store(tmp_path), clock=clock)
    observer.record(seen("new", observe.KEEP.total_seconds()))
    observer.start()
    observer.close()
    assert texts(tmp_path) == ["new"]


def test_invented_addresses_have_a_bound(tmp_path: Path) -> None:
    observer = an_observer(lambda: file_store(tmp_path))
    for number in range(observe.KEEP_SIGHTINGS + 5):
        observer.sighting(a_sighting(mac=number.to_bytes(6, "big").hex(":")))
    assert observer.dropped == 5
    observer.start()
    observer.close()
    with file_store(tmp_path) as store:
        assert len(store.sightings()) == observe.KEEP_SIGHTINGS


def test_flood_is_trimmed_before_ten_minutes_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "KEEP_SIGHTINGS", 10)
    monkeypatch.setattr(observe, "TRIM_AFTER", 30)
    observer = an_observer(lambda: file_store(tmp_path))
    with file_store(tmp_path) as store:
        for batch in range(8):
            for number in range(10):
                observer.sighting(a_sighting(batch, mac=bytes([2, 0, 0, 0, batch, number]).hex(":")))
            observer._flush()
        observer._forget_store()
        assert len(store.sightings()) <= 10 + 30


def test_what_the_writer_holds_counts_against_the_bound(tmp_path: Path) -> None:
    tried = threading.Event()
    observer = an_observer(Reluctant(tmp_path, 10**9), queue_max=3, trouble=lambda text: tried.set())
    for number in range(3):
        observer.record(seen(str(number)))
    observer.start()
    assert tried.wait(PATIENCE_S)
    for number in range(2):
        observer.record(seen(f"late {number}"))
    assert observer.dropped == 2
    observer.close()
    assert (observer.written, observer.dropped) == (0, 5)


def test_nothing_waits_for_a_writer_that_is_stuck(tmp_path: Path) -> None:
    stuck, go_on = threading.Event(), threading.Event()

    def slow() -> Store:
        stuck.set()
        assert go_on.wait(PATIENCE_S)
        return file_store(tmp_path)

    observer = an_observer(slow)
    observer.start()
    observer.record(seen("first"))
    assert stuck.wait(PATIENCE_S)
    observer.record(seen("meanwhile"))
    observer.sighting(a_sighting())
    observer.override_used(1, "the node reported running")
    go_on.set()
    observer.close()
    assert texts(tmp_path) == ["first", "meanwhile"]
    assert observer.dropped == 0
