"""Nodes with broken disks get new clones of what they run, and the others keep what they wrote."""

from datetime import timedelta
from pathlib import Path

import pytest

from bootd.drivers.faults import Crash, Fail, Refuse, Unreachable
from bootd.drivers.lun import Chap, LunError, LunFull
from bootd.drivers.power import ResetKind
from bootd.errors import NotFound, Refused
from bootd.model import JobKind, LunClone
from bootd.services import jobs, lunrenew, luns
from bootd.services.lunrenew import Renewed
from bootd.services.lunsweep import sweep
from bootd.workers.stage_lun import StageLun
from bootd.workers.start import Start
from tests.helpers.lunshop import GROUP, NODES, OTHER
from tests.helpers.site import NOON
from tests.helpers.world import FIRMWARE_S, SYSTEM_S, World
from tests.unit.workers.test_flip_by_hand import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site({JobKind.STAGE_LUN: StageLun(), JobKind.START: Start()}, tmp_path)
    for node in NODES:
        write(made, node)
    return made


def write(site: Site, node: str) -> None:
    """Write as the node does."""
    place = site.store.places()[node]
    assert place.clone is not None
    with site.luns.path(place.clone.volume).open("r+b") as file:
        file.write(b"own words")


def words(site: Site) -> dict[str, bytes]:
    return {node: octets[:9] for node, (_, _, octets) in site.gets().items()}


def renew(site: Site, *nodes: str, dry_run: bool = False) -> Renewed:
    return lunrenew.renew(site.store, "anna", GROUP, nodes, clock=site.clock, dry_run=dry_run)


def test_node_gets_a_new_clone_and_is_started_anew_and_the_others_keep_theirs(site: Site) -> None:
    first, *others = NODES
    before = site.gets()
    done = renew(site, first)
    assert done.nodes == (first,)
    assert [job.kind for job in done.jobs] == [JobKind.STAGE_LUN]
    assert site.gets() == before  # until its new one is there
    site.settle()
    assert words(site) == {first: OTHER[:9]} | dict.fromkeys(others, b"own words")
    assert site.gets()[first][:2] == before[first][:2]
    assert {node for _, node in site.switched()} == {first}
    assert site.store.jobs(states=jobs.OPEN) == []


def test_dry_run_changes_nothing(site: Site) -> None:
    before = site.gets()
    assert renew(site, *NODES, dry_run=True).nodes == tuple(NODES)
    assert site.gets() == before
    assert site.store.jobs(states=jobs.OPEN) == []


def test_node_that_boots_something_else_is_refused_and_nothing_done(site: Site) -> None:
    before = site.gets()
    with pytest.raises(Refused, match="node9 boots nothing from the LUN pair of rack now"):
        renew(site, NODES[0], "node9")
    with pytest.raises(NotFound):
        lunrenew.renew(site.store, "anna", "rakc", NODES, clock=site.clock)
    assert site.gets() == before


def test_node_whose_job_is_at_work_is_refused(site: Site) -> None:
    renew(site, NODES[0])
    with pytest.raises(Refused, match=r"stage-lun\) is at work for reservation 2"):
        renew(site, NODES[1])


@pytest.mark.parametrize("deed", ["clone", "export", "delete.closed"])
def test_worker_that_was_killed_on_the_way_is_followed_by_one_that_gets_there(site: Site, deed: str) -> None:
    old = {site.clone(node, 2).volume for node in NODES[:2]}
    site.luns.faults.plant(Crash(), deed)
    renew(site, *NODES[:2])
    site.settle()
    assert not site.luns.faults._planted  # it was met
    assert words(site) == dict.fromkeys(NODES[:2], OTHER[:9]) | dict.fromkeys(NODES[2:], b"own words")
    sweep(site.store, site.luns, "calendar")
    assert old.isdisjoint(site.volumes())


# -- who was logged in to the old one --------------------------------------------------------


def test_system_that_goes_on_running_on_the_old_clone_never_gets_at_the_new_one(site: Site) -> None:
    old = site.clone("node1", 2)
    site.log_in(old)
    renew(site, "node1")
    site.run()  # the clone is there, the node is not switched yet
    new = site.clone("node1", 2)
    assert {old.volume, old.target, old.chap_user}.isdisjoint({new.volume, new.target, new.chap_user})
    site.log_in(old)  # as its system does again and again, with all that it knows
    site.luns.play_write(old.volume, b"what it had in mind")
    assert site.content(new.volume).startswith(OTHER[:9])
    with pytest.raises(LunError):
        site.luns.log_in(new.volume, old.initiator, secret_of(site, old))


def secret_of(site: Site, clone: LunClone) -> Chap:
    return luns.chap_of(site.store.secret(luns.SECRET) or b"", clone.chap_user)


def test_old_clone_goes_with_its_session_once_the_node_runs_from_the_new_one(site: Site) -> None:
    old = site.clone("node1", 2)
    site.log_in(old)
    renew(site, "node1")
    site.run()
    assert old.volume in site.volumes()
    site.settle()
    assert old.volume not in site.volumes()
    assert site.store.find(LunClone, old.volume) is None


def test_old_clone_of_a_node_that_does_not_come_up_is_left_to_the_sweep(site: Site) -> None:
    old = site.clone("node1", 2)
    site.log_in(old)
    renew(site, "node1")
    site.run_for(3000, each=30)  # it never says that it runs
    assert site.store.jobs(states=jobs.OPEN) == []
    [left] = sweep(site.store, site.luns, "anna").left
    assert left.volume == old.volume
    assert sweep(site.store, site.luns, "anna", force=True).removed == (old.volume,)
    assert site.clone("node1", 2).volume in site.volumes()


def test_old_clone_is_not_what_the_node_gets_back_by_two_flips(site: Site) -> None:
    old = site.clone("node1", 2)
    site.log_in(old)
    renew(site, "node1")
    site.run_for(3000, each=30)
    new = site.clone("node1", 2)
    for flip in (site.rollback, site.flip):
        flip()
        site.settle()
    assert site.clone("node1", 2) == new


@pytest.mark.parametrize("seconds", [FIRMWARE_S + 1, FIRMWARE_S + SYSTEM_S - 1])
def test_word_of_a_boot_from_the_old_clone_does_not_count(tmp_path: Path, seconds: float) -> None:
    world = World(tmp_path / "world", roots=2, meshes=0)
    world.book(1, 3, "node[1-2]")
    world.run_until(NOON + timedelta(hours=1, minutes=10))
    machine, old = world.machines["node1"], world.store.places()["node1"].clone
    world.power.reset(machine.host, ResetKind.HARD)
    world.run(seconds / 3600)
    life = machine.life
    lunrenew.renew(world.store, "anna", "rack", ["node1"], clock=world.clock)
    world.run(5 / 60)
    place = world.store.places()["node1"]
    assert machine.life > life
    assert (place.state, place.clone) != ("running", old)
    assert place.clone is not None
    assert machine.runs == f"lun:{place.clone.volume}"
    assert world.luns.sessions(place.clone.volume)


# -- taken back, failed, full -----------------------------------------------------------------


def test_order_that_is_taken_back_before_it_began_changes_nothing_and_can_be_given_again(site: Site) -> None:
    before, [job] = site.gets(), renew(site, "node1").jobs
    jobs.cancel(site.store, "anna", job.id, clock=site.clock)
    site.run_for(300, each=10)
    assert site.gets() == before
    assert site.switched() == []
    jobs.retry(site.store, "anna", job.id, clock=site.clock)
    site.settle()
    assert site.gets()["node1"] == (*before["node1"][:2], OTHER[:13])
    assert {node for _, node in site.switched()} == {"node1"}


def test_order_that_is_taken_back_at_work_leaves_the_node_the_clone_it_uses(site: Site) -> None:
    before, old = site.gets(), site.clone("node1", 2)
    site.log_in(old)
    site.luns.faults.plant(Unreachable(), "export", times=None)
    [job] = renew(site, "node1").jobs
    site.run()
    jobs.cancel(site.store, "anna", job.id, clock=site.clock)
    site.run_for(300, each=10)
    assert site.job(job.id).state == "cancelled"
    assert site.gets() == before
    assert site.luns.sessions(old.volume)
    assert len(site.volumes()) == 2 + len(NODES)  # and nothing of the new one


def test_clone_that_cannot_be_made_leaves_the_node_the_old_one(site: Site) -> None:
    before = site.gets()
    site.luns.faults.plant(Refuse("no licence"), "clone", times=None)
    [job] = renew(site, "node1").jobs
    site.settle()
    assert (site.job(job.id).state, site.gets()) == ("failed", before)


def test_clone_for_which_there_is_no_room_takes_that_of_the_old_one(site: Site) -> None:
    old = site.clone("node1", 2)
    site.luns.faults.plant(Fail(LunFull("rack.a.node1.2-2", "no space left")), "clone")
    renew(site, "node1")
    site.run()
    assert old.volume not in site.volumes()
    assert site.gets()["node1"][1] == "failed"  # for now it has none
    site.settle()
    assert site.gets()["node1"] == ("mesh/debian@2", "running", OTHER[:13])
