"""A pair flipped by a person: the nodes of the booking under way follow, and get back what they had."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd.drivers.faults import Refuse, Unreachable
from bootd.errors import Refused
from bootd.model import Deployment, JobKind, LunPair, Outcome, Reservation
from bootd.services import jobs, lunflip, luns
from bootd.services.lunflip import Flipped
from bootd.services.lunsweep import sweep
from bootd.workers.stage_lun import StageLun
from bootd.workers.start import Start
from tests.helpers.lunshop import GROUP, IMAGE, NODES, OTHER, LunShop

OLD, NEW = "mesh/debian@1", "mesh/debian@2"


class Site(LunShop):
    """Side b holds the image of an ended booking, side a that of the one under way, whose nodes run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        first = self.staged()
        self.activate(first)
        self.end(first)
        self.begin(self.staged(self.add_image(OTHER)))

    def begin(self, deployment: Deployment) -> None:
        self.activate(deployment)
        reservation = self.store.find(Reservation, deployment.reservation)
        assert reservation is not None
        self.keep(replace(reservation, state="active"))
        self.come_up(deployment.id)

    def come_up(self, number: int) -> None:
        """Let every node that has its clone say that it runs, logged in to that if it ever was to one."""
        for node in self.store.deployed_nodes(number):
            if node.state == "ready":
                clone = self.clone(node.node, number)
                if any(session.initiator == clone.initiator for session in self.luns.sessions()):
                    self.log_in(clone)
                self.keep(replace(node, state="running"))

    def flip(self, **how: bool) -> Flipped:
        return lunflip.flip(self.store, "anna", GROUP, clock=self.clock, **how)

    def rollback(self) -> Flipped:
        return lunflip.rollback(self.store, "anna", GROUP, clock=self.clock)

    def settle(self, number: int = 2) -> None:
        for _ in range(30):
            self.run_for(10)
            self.come_up(number)

    def gets(self) -> dict[str, tuple[str, str, bytes]]:
        """Return what each node boots: image, state, and how its clone begins."""
        found = {}
        for name, place in self.store.places().items():
            octets = self.content(place.clone.volume)[:13] if place.clone is not None else b""
            found[name] = (str(place.image), place.state, octets)
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site({JobKind.STAGE_LUN: StageLun(), JobKind.START: Start()}, tmp_path)


def test_rollback_gives_the_nodes_clones_of_the_old_image_and_starts_them_anew(site: Site) -> None:
    done = site.rollback()
    assert {(each.node, str(each.before), str(each.after), each.has_clone) for each in done.followers} == {
        (name, NEW, OLD, False) for name in NODES
    }
    assert site.gets() == dict.fromkeys(NODES, (OLD, "waiting", b""))
    assert site.switched() == []
    site.settle()
    assert site.gets() == dict.fromkeys(NODES, (OLD, "running", IMAGE[:13]))
    assert {node for _, node in site.switched()} == set(NODES)
    assert site.store.jobs(states=jobs.OPEN) == []


def test_flip_back_gives_the_nodes_the_clones_they_had_with_what_they_wrote(site: Site) -> None:
    volume = site.node("node1", 2).volume
    with site.luns.path(volume).open("r+b") as file:
        file.write(b"my work of today")
    site.rollback()
    site.settle()
    done = site.flip()
    assert all(each.has_clone for each in done.followers)
    assert [job.kind for job in done.jobs] == [JobKind.START]
    assert site.node("node1", 2).volume == volume
    site.settle()
    assert site.gets()["node1"] == (NEW, "running", b"my work of to")


def test_journal_says_who_flipped_what(site: Site) -> None:
    site.rollback()
    [entry] = [each for each in site.store.journal(limit=50) if each.kind == "lun_pair"][:1]
    assert (entry.actor, entry.what) == ("anna", "luns rollback")


def test_dry_run_says_the_same_and_changes_nothing(site: Site) -> None:
    before = (site.store.generation(), site.gets())
    planned = site.flip(dry_run=True)
    assert (site.store.generation(), site.gets()) == before
    assert planned.followers == site.flip().followers


def test_flip_without_a_reservation_under_way_changes_what_no_node_boots(site: Site) -> None:
    reservation = site.store.find(Reservation, 2)
    assert reservation is not None
    site.keep(replace(reservation, state="ended"))
    site.end(site.deployment(2))
    done = site.flip()
    assert (done.followers, done.jobs) == ((), ())
    assert done.after.active == 1


def test_nodes_whose_image_is_on_both_sides_are_left_alone(site: Site) -> None:
    pair = luns.named(site.store, GROUP)
    same = replace(pair.sides[1], image=pair.sides[0].image, digest=pair.sides[0].digest)
    site.keep(LunPair(GROUP, pair.size, (pair.sides[0], same)))
    before = site.gets()
    assert site.flip().followers == ()
    assert site.gets() == before


def test_flip_while_a_job_brings_the_nodes_up_is_refused(site: Site) -> None:
    with site.store.transaction("calendar") as change:
        job = jobs.add(change, JobKind.START, by="calendar", now=site.clock(), nodes=NODES, reservation=2)
    with pytest.raises(Refused, match=f"job {job.id} \\(start\\) is at work for reservation 2"):
        site.flip()
    assert luns.named(site.store, GROUP).active == 0


def test_next_booking_that_is_staged_keeps_its_side_whatever_is_flipped(site: Site) -> None:
    third = site.staged(site.add_image(b"third".ljust(512)))
    assert third.side == 1
    with pytest.raises(Refused, match="the next image and not the last one"):
        site.rollback()
    site.flip()
    site.settle()
    site.flip()
    site.settle()
    site.end(site.deployment(2))
    site.activate(site.deployment(third.id))
    assert luns.named(site.store, GROUP).active == third.side


def test_clones_kept_for_the_way_back_go_when_their_side_is_written_again(site: Site) -> None:
    kept = {site.node(name, 2).volume for name in NODES}
    site.rollback()
    site.settle()
    assert kept <= site.volumes()
    third = site.staged(site.add_image(b"third".ljust(512)))
    assert third.side == 0
    assert kept.isdisjoint(site.volumes())
    assert site.gets()["node1"] == (OLD, "running", IMAGE[:13])


def test_clones_that_cannot_be_made_leave_their_nodes_failed_and_the_others_up(site: Site) -> None:
    site.rollback()
    sick = luns.clone_volume(site.deployment(2), 1, "node2", generation=2)
    site.luns.faults.plant(Refuse("no licence"), "clone", sick, times=None)
    site.settle()
    states = {name: state for name, (_, state, _) in site.gets().items()}
    assert states == {name: "failed" if name == "node2" else "running" for name in NODES}


def test_job_for_clones_that_is_taken_back_leaves_no_node_waiting_for_ever(site: Site) -> None:
    done = site.rollback()
    site.luns.faults.plant(Unreachable(), "clone", times=None)
    site.run()
    jobs.cancel(site.store, "anna", done.jobs[0].id, clock=site.clock)
    site.run_for(300, each=10)
    assert site.job(done.jobs[0].id).state == "cancelled"
    assert {state for _, state, _ in site.gets().values()} == {"failed"}
    assert site.deployment(2).state == "lun-ready"
    site.luns.faults.clear()
    jobs.retry(site.store, "anna", done.jobs[0].id, clock=site.clock)
    site.run_for(10)
    assert site.outcomes(done.jobs[0].id) == dict.fromkeys(NODES, Outcome.OK)
    assert {state for _, state, _ in site.gets().values()} == {"ready"}
    site.settle()
    assert site.gets() == dict.fromkeys(NODES, (OLD, "running", IMAGE[:13]))
    assert {node for _, node in site.switched()} == set(NODES)


def test_job_for_clones_that_is_taken_back_before_it_began_says_so_of_its_nodes(site: Site) -> None:
    done = site.rollback()
    jobs.cancel(site.store, "anna", done.jobs[0].id, clock=site.clock)
    assert {(node.state, node.note) for node in site.store.deployed_nodes(2)} == {
        ("failed", f"job {done.jobs[0].id} was taken back by anna")
    }
    jobs.retry(site.store, "anna", done.jobs[0].id, clock=site.clock)
    site.settle()
    assert site.gets() == dict.fromkeys(NODES, (OLD, "running", IMAGE[:13]))


def test_clone_that_outlived_its_side_is_given_to_nobody_as_the_image_of_now(site: Site) -> None:
    """A reset machine's session kept it from going when its side was staged anew."""
    kept = site.clone("node1", 2)
    site.log_in(kept)
    site.rollback()
    site.settle()
    third = site.staged(site.add_image(b"third image".ljust(512)))
    assert third.side == 0
    assert kept.volume in site.volumes()
    done = site.flip()
    assert not any(each.has_clone for each in done.followers)
    site.settle()
    assert site.gets() == dict.fromkeys(NODES, ("mesh/debian@3", "running", b"third image  "))
    assert kept.volume in site.volumes()
    assert [left.volume for left in sweep(site.store, site.luns, "anna").left] == [kept.volume]
    assert sweep(site.store, site.luns, "anna", force=True).removed == (kept.volume,)
    assert site.clone("node1", 2).volume in site.volumes()
