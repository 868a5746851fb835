"""The target is reminded of what it exports, clones are swept, and what is wrong is said with the way out."""

import threading
from pathlib import Path

import pytest

from bootd.drivers.faults import Fail, Unreachable
from bootd.drivers.lun import Chap, LunBackend, LunRefused, LunsNotRestored
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.tools import Tools
from bootd.errors import StoreFailed
from bootd.events import Event, InternalError, LunsRestored, LunsSwept
from bootd.model import Role
from bootd.services import luns
from bootd.store import Store
from bootd.workers.lunduty import ROOM, SWEEP_EVERY_S, LunDuty
from bootd.workers.work import GivenUp
from tests.helpers.deeds import a_deployment, a_project, a_reservation
from tests.helpers.site import HandClock, file_store

PATIENCE_S = 60.0
SIZE = 1 << 20
CHAP, NODE1 = Chap("node1", "secret-secret"), "iqn.2026-01.org.example:node1"


class Forgetful(FakeLuns):
    """Its target has lost what a test says."""

    lost: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()  # what it cannot have back

    def restore(self) -> list[str]:
        def deed() -> list[str]:
            lost, self.lost = self.lost, ()
            if self.broken:
                raise LunsNotRestored({name: LunRefused(name, "is gone") for name in self.broken}, lost)
            return list(lost)

        return self.faults.perform("restore", "", deed)


class Site:
    """A pair, and a deployment of two nodes that is over; a backend with their clones."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, HandClock()
        self.luns = Forgetful(Tools(folder / "luns", clock=self.clock))
        self.seconds = 1000.0
        self.room: int | None = None
        self.troubles: dict[str, str] = {}
        self.events: list[Event] = []
        self.duty = LunDuty(
            self.open_store,
            lambda: self.backend(),
            trouble=self.trouble,
            emit=self.events.append,
            room=lambda: self.room,
            monotonic=lambda: self.seconds,
        )
        with self.open_store() as store:
            luns.add(store, "anna", "rack", SIZE, clock=self.clock)
            with store.transaction("anna") as change:
                change.keep(a_project())
                change.keep(a_reservation(state="ended"))
                change.keep(a_deployment(role=Role.ROOT, slot=None, group="rack", side=0, state="dark"))
        self.luns.create("rack.a", SIZE)
        self.make_clones()

    def make_clones(self) -> None:
        for node in ("node1", "node2"):
            self.luns.clone("rack.a", f"rack.a.{node}.1")

    def open_store(self) -> Store:
        return file_store(self.folder, clock=self.clock)

    def backend(self) -> LunBackend:
        return self.luns

    def trouble(self, topic: str, text: str) -> None:
        self.troubles[topic] = text
        if not text:
            del self.troubles[topic]

    def volumes(self) -> list[str]:
        return [volume.name for volume in self.luns.volumes()]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# -- the target


def test_what_the_target_had_lost_is_said_once(site: Site) -> None:
    site.luns.lost = ("rack.a.node1.7", "rack.a.node2.7")
    site.duty.look()
    site.duty.look()
    said = [event for event in site.events if isinstance(event, LunsRestored)]
    assert said == [LunsRestored(volumes="rack.a.node1.7, rack.a.node2.7")]


def test_little_room_is_said_before_the_disk_of_a_machine_breaks(site: Site) -> None:
    site.room = 300_000_000
    site.duty.look()
    assert "LUNs have only 300.0 MB left to grow into" in site.troubles.pop(ROOM)
    assert not site.troubles
    site.room = 2 << 30
    site.duty.look()
    assert not site.troubles


def test_many_volumes_make_no_long_line(site: Site) -> None:
    site.luns.lost = tuple(f"v{n}" for n in range(1000))
    site.duty.look()
    assert site.events[0] == LunsRestored(volumes="v0, v1, v2, v3, v4, v5, v6, v7 and 992 more")


def test_target_that_is_away_is_a_problem_until_it_is_back(site: Site) -> None:
    site.luns.faults.plant(Unreachable("tgtd does not answer; systemctl start tgt"), "restore", times=2)
    for _ in range(2):
        assert not site.duty.look()
        assert site.troubles == {
            "luns": "machines may find no LUN to boot from: tgtd does not answer; systemctl start tgt"
        }
    assert "rack.a.node1.1" in site.volumes()  # and nothing is swept meanwhile
    assert site.duty.look()
    assert site.troubles == {}
    assert site.volumes() == ["rack.a"]


def test_one_export_that_cannot_be_had_back_is_named_and_holds_up_nothing_else(site: Site) -> None:
    site.luns.lost, site.luns.broken, site.room = ("rack.b.node3.9",), ("rack.b.node4.9",), 300_000_000
    assert site.duty.look()
    assert site.troubles["luns"] == "machines find no LUN to boot from: rack.b.node4.9: is gone"
    assert "LUNs have only" in site.troubles[ROOM]
    assert site.volumes() == ["rack.a"]  # swept
    assert LunsRestored(volumes="rack.b.node3.9") in site.events
    site.luns.broken = ()
    site.duty.look()
    assert set(site.troubles) == {ROOM}


def test_of_many_exports_that_cannot_be_had_back_some_are_named(site: Site) -> None:
    site.luns.broken = tuple(f"v{number:04}" for number in range(1000))
    site.duty.look()
    assert site.troubles["luns"].endswith("v0006: is gone; v0007: is gone; and 992 more")


def test_backend_that_cannot_be_made_is_a_problem(site: Site) -> None:
    def none() -> LunBackend:
        raise GivenUp("this site has none")

    site.backend = none  # type: ignore[method-assign]
    site.duty.look()
    assert site.troubles == {"luns": "machines may find no LUN to boot from: this site has none"}


def test_bug_is_said_and_the_next_look_is_another_try(site: Site) -> None:
    site.luns.faults.plant(Fail(ZeroDivisionError("oh")), "restore")
    site.duty.look()
    assert [type(event) for event in site.events] == [InternalError]
    assert "internal error" in site.troubles["luns"]
    site.duty.look()
    assert site.troubles == {}


# -- the clones


def test_clones_that_nobody_needs_go_and_that_is_said(site: Site) -> None:
    site.duty.look()
    assert site.volumes() == ["rack.a"]
    assert site.events == [LunsSwept(removed=2, left="")]


def test_what_a_kill_left_of_a_volume_goes_too(site: Site) -> None:
    (site.folder / "luns" / "rack.a.node1.1.json").unlink()
    (site.folder / "luns" / "rack.b.img").write_bytes(b"half")
    site.duty.look()
    assert sorted(path.name for path in (site.folder / "luns").glob("*.img")) == ["rack.a.img"]
    assert site.events == [LunsSwept(removed=3, left="")]


def test_sweep_is_made_once_in_a_while(site: Site) -> None:
    site.duty.look()
    site.make_clones()
    site.seconds += SWEEP_EVERY_S - 1
    site.duty.look()
    assert len(site.volumes()) == 3
    site.seconds += 1
    site.duty.look()
    assert site.volumes() == ["rack.a"]


def test_what_a_machine_is_logged_in_to_is_said_once_and_goes_when_it_can(site: Site) -> None:
    site.luns.export("rack.a.node1.1", NODE1, CHAP)
    site.luns.log_in("rack.a.node1.1", NODE1, CHAP, "10.0.0.1")
    for _ in range(3):
        site.duty.look()
        site.seconds += SWEEP_EVERY_S
    why = f"rack.a.node1.1: in use by {NODE1} (10.0.0.1): bootd luns gc --force ends that"
    assert site.events == [LunsSwept(removed=1, left=why)]
    assert site.troubles == {}
    site.luns.log_out("rack.a.node1.1", NODE1)
    site.duty.look()
    assert site.volumes() == ["rack.a"]


def test_database_that_is_away_is_a_problem_and_the_sweep_comes_later(site: Site) -> None:
    def away() -> Store:
        raise StoreFailed("the disk is full")

    site.open_store = away  # type: ignore[method-assign]
    site.duty._open_store = away
    site.duty.look()
    assert site.troubles == {"luns-sweep": "clones that nobody needs are not looked for: the disk is full"}
    site.duty._open_store = lambda: file_store(site.folder, clock=site.clock)
    site.duty.look()
    assert site.troubles == {}
    assert site.volumes() == ["rack.a"]


def test_target_that_goes_away_in_between_is_a_problem(site: Site) -> None:
    site.luns.faults.plant(Unreachable("away"), "volumes")
    site.duty.look()
    assert site.troubles == {"luns-sweep": "clones that nobody needs are not deleted: away"}
    site.duty.look()
    assert (site.troubles, site.volumes()) == ({}, ["rack.a"])


# -- the thread


def test_thread_looks_at_once_and_ends_when_told_to(site: Site) -> None:
    looked = threading.Event()
    site.trouble = lambda topic, text: looked.set()  # type: ignore[method-assign]
    site.duty._trouble = site.trouble
    site.duty.start()
    assert looked.wait(PATIENCE_S)
    site.duty.stop()
    assert not site.duty._thread.is_alive()
