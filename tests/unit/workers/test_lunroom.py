"""Whose disk is broken since LUNs have no room: told by name and written down until it has started anew."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from bootd.drivers.faults import Unreachable
from bootd.drivers.lun import Chap
from bootd.errors import StoreFull
from bootd.model import JobKind
from bootd.services import luns
from bootd.services.lunlooks import REFUSED, doubts
from bootd.store import Store
from bootd.workers.lunroom import LOW, NONE, WATCHED, RoomWatch
from bootd.workers.stage_lun import StageLun
from bootd.workers.start import Start
from tests.unit.workers.test_flip_by_hand import Site as Running

MIB = 1 << 20


class Site(Running):
    """Nodes that run from clones, by the names of their volumes, and little room."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.left: int | None = MIB
        self.opening: Callable[[], nullcontext[Store]] = lambda: nullcontext(self.store)
        self.watch = RoomWatch(lambda: self.opening(), lambda: self.left)  # type: ignore[arg-type]
        self.on = {clone.node: clone.volume for clone in self.store.clones("rack", 0)}
        for node in ("node1", "node2"):
            self.log_in_as(node)
            self.luns.failures[self.on[node]] = {"1": 3}  # as each login has some

    def log_in_as(self, node: str) -> None:
        (clone,) = [each for each in self.store.clones("rack", 0) if each.node == node]
        chap = luns.chap_of(self.store.secret(luns.SECRET) or b"", clone.chap_user)
        self.luns.log_in(clone.volume, clone.initiator, Chap(chap.user, chap.secret))

    def look(self) -> str:
        return self.watch.look(self.luns)

    def fails(self, node: str, session: str = "1", count: int = 9) -> None:
        self.luns.failures[self.on[node]] = {session: count}

    def notes(self) -> dict[str, str]:
        return {node.node: node.note for node in self.store.deployed_nodes(2) if node.note}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site({JobKind.STAGE_LUN: StageLun(), JobKind.START: Start()}, tmp_path)


def test_machine_whose_disk_refuses_more_than_a_look_ago_is_named_and_no_other(site: Site) -> None:
    said = site.look()
    assert said.startswith("LUNs have only 1.0 MB left to grow into: what their machines write will fail; ")
    assert "node" not in said
    site.fails("node1")
    named = f"disks refuse what their machines write: node1 ({site.on['node1']})"
    assert named in site.look()
    assert site.notes() == {"node1": REFUSED}
    found = doubts(site.store, site.store.deployed_nodes(2), site.luns.sessions())
    assert found["node1"] == f"node1: {REFUSED}"
    assert "node2" not in found
    assert "bootd luns renew" in site.look()


def test_it_stays_broken_when_there_is_room_again_until_the_machine_has_started_anew(site: Site) -> None:
    site.look()
    site.fails("node1")
    site.look()
    site.left = 2 * WATCHED
    assert site.look().startswith("disks refuse what their machines write: node1")
    site.fails("node1", session="2")
    assert site.look() == ""
    assert site.notes() == {}


def test_where_there_is_room_failures_mean_something_else(site: Site) -> None:
    site.left = NONE
    site.look()
    site.fails("node1")
    assert "node1" not in site.look()
    site.left = LOW
    site.fails("node1", count=20)
    assert site.look() == ""
    assert site.notes() == {}


def test_failures_before_the_first_look_at_a_session_are_those_of_its_login(site: Site) -> None:
    site.fails("node1", count=50)
    assert "node1" not in site.look()
    site.fails("node2", session="7", count=50)
    assert "node2" not in site.look()


@pytest.mark.parametrize("left", [WATCHED, None], ids=["much", "elsewhere"])
def test_where_there_is_much_room_or_it_is_not_ours_nobody_is_asked(site: Site, left: int | None) -> None:
    site.left = left
    site.luns.faults.plant(Unreachable(), "sessions", times=None)
    assert site.look() == ""


def test_database_that_has_no_room_either_keeps_nothing_from_being_said(site: Site) -> None:
    def full() -> nullcontext[Store]:
        asked.append("")
        if len(asked) == 1:
            raise StoreFull("no room left")
        return nullcontext(site.store)

    asked: list[str] = []
    site.look()
    site.fails("node1")
    site.opening = full
    assert "node1" in site.look()
    assert site.notes() == {}
    site.look()
    assert site.notes() == {"node1": REFUSED}
