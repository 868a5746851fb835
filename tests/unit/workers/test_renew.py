"""Nodes with broken disks get new clones of what they run, and the others keep what they wrote."""

from pathlib import Path

import pytest

from bootd.drivers.faults import Crash
from bootd.errors import NotFound, Refused
from bootd.model import JobKind
from bootd.services import jobs, lunrenew
from bootd.services.lunrenew import Renewed
from bootd.workers.stage_lun import StageLun
from bootd.workers.start import Start
from tests.helpers.lunshop import GROUP, NODES, OTHER
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
    assert site.gets()[first][1] == "waiting"
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


def test_worker_that_was_killed_while_old_clones_went_is_followed_by_one_that_makes_new_ones(
    site: Site,
) -> None:
    site.luns.faults.plant(Crash(), "delete.closed")
    renew(site, *NODES[:2])
    site.settle()
    assert not site.luns.faults._planted  # it was met
    assert words(site) == dict.fromkeys(NODES[:2], OTHER[:9]) | dict.fromkeys(NODES[2:], b"own words")
