"""Jobs with the same errand share one session while nobody sends; rates are settled when all are there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bootd.drivers.transport import SessionMissing
from bootd.drivers.transport.fake import FakeTransport
from bootd.model import Job, Slot
from bootd.services import deploy, jobs
from bootd.services.deploy import Order
from bootd.services.tasks import WAYS
from tests.helpers.imaging import PACE, Shop, a_shop, ready
from tests.helpers.mortal import Death, live_mortally
from tests.helpers.world import World

SHARES = 4  # the moments are dealt out to so many tests
ONE, TWO = ("node1", "node2"), ("node3", "node4")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Nobody has fetched the imager yet, so sessions wait."""
    made = a_shop(tmp_path)
    made.asleep.update((*ONE, *TWO))
    return made


def wake(shop: Shop, *nodes: str) -> None:
    """Let machines have fetched the imager."""
    with shop.store.transaction("bootd", "evidence") as change:
        for order in change.overrides():
            if order.host in nodes or not nodes:
                change.remove_override(order.host, order.id)


def orders(shop: Shop) -> dict[str, tuple[str, ...]]:
    """Return the sessions that were started, with their receivers."""
    found = {}
    for job in shop.store.jobs():
        for number in (1, 2):
            try:
                order = shop.transport.order(f"job{job.id}-{number}")
            except SessionMissing:
                continue
            found[order.id] = order.receivers
    return found


def two(shop: Shop, **second: object) -> tuple[Job, Job]:
    one = shop.book(ONE)
    shop.live(3)
    other = shop.book(TWO, **second)  # type: ignore[arg-type]
    shop.live(3)
    return one, other


# -- who joins --------------------------------------------------------------------------------


def test_an_image_that_goes_to_the_same_slot_by_two_jobs_is_sent_once(shop: Shop) -> None:
    two(shop)
    assert orders(shop) == {}
    wake(shop)
    shop.live()
    assert orders(shop) == {"job1-1": (*ONE, *TWO)}
    assert (shop.job(1).state, shop.job(2).state) == ("done", "done")
    assert shop.slots() == ready(*ONE, *TWO)


def test_each_job_tells_its_own_nodes_how_to_take_part(shop: Shop) -> None:
    two(shop)
    wake(shop)
    shop.live(until="watch")
    shop.live(4)
    ways = [shop.job(number).facts[WAYS] for number in (1, 2)]
    assert [set(each) for each in ways] == [set(ONE), set(TWO)]
    assert ways[0]["node1"]["port"] == ways[1]["node3"]["port"]


def test_each_job_counts_its_own_nodes(shop: Shop) -> None:
    two(shop)
    shop.says["node3"] = ("failed", "no disk")
    wake(shop)
    shop.live(4, until="watch")
    shop.live(4)
    assert "of 2 nodes" in shop.job(1).note
    assert "of 2 nodes" in shop.job(2).note
    shop.asleep.clear()
    shop.live()
    assert {part.node for part in shop.store.job_parts(1)} == {"", *ONE}
    assert {part.node for part in shop.store.job_parts(2)} == {"", *TWO}
    assert (shop.job(1).state, shop.job(2).state) == ("done", "partly")


@pytest.mark.parametrize("what", ["another slot", "another image"])
def test_other_errands_have_sessions_of_their_own_and_equal_parts_of_the_rate(shop: Shop, what: str) -> None:
    other = {"slot": 8} if what == "another slot" else {"image": shop.add_image(b"b" * 9216, "mesh/other")}
    two(shop, **other)
    wake(shop)
    shop.live(4)
    assert set(orders(shop)) == {"job1-1", "job2-1"}
    assert {shop.transport.order(name).rate for name in orders(shop)} == {PACE.rate // 2}


def test_a_job_that_comes_when_the_other_one_sends_has_a_session_of_its_own(shop: Shop) -> None:
    shop.book(ONE)
    shop.live(2)
    wake(shop)
    shop.live(until="watch")
    shop.book(TWO)
    shop.live(30)
    wake(shop)
    shop.live()
    assert orders(shop) == {"job1-1": ONE, "job2-1": TWO}


def test_a_machine_that_does_not_fetch_the_imager_is_waited_for_half_the_time_to_join(shop: Shop) -> None:
    shop.book(ONE)
    shop.live(5)
    wake(shop, "node1")
    shop.live(PACE.join_s / 2 - 10)
    assert "node2: the imager is not fetched yet" in shop.job(1).note
    assert orders(shop) == {}
    shop.live(10)
    assert orders(shop) == {"job1-1": ONE}
    assert shop.transport.order("job1-1").join_wait_s == PACE.join_s / 2  # the other half


def test_machines_that_come_soon_leave_the_session_the_rest_of_their_time_to_join(shop: Shop) -> None:
    shop.book(ONE)
    shop.live(5)
    wake(shop)
    shop.live(10)
    assert PACE.join_s - 15 <= shop.transport.order("job1-1").join_wait_s <= PACE.join_s - 2


def test_guests_that_are_called_later_have_their_whole_time_to_join(shop: Shop) -> None:
    shop.book(ONE)
    shop.live(25)
    shop.book(TWO)
    shop.live(2)
    wake(shop)
    shop.live(4)
    assert shop.transport.order("job1-1").receivers == (*ONE, *TWO)
    assert shop.transport.order("job1-1").join_wait_s >= PACE.join_s - 5


# -- taken back -------------------------------------------------------------------------------


def test_a_guest_whose_host_is_taken_back_before_it_sends_calls_its_nodes_itself(shop: Shop) -> None:
    two(shop)
    jobs.cancel(shop.store, "anna", 1, clock=shop.clock)
    shop.asleep.clear()
    shop.live(90)
    assert (shop.job(1).state, shop.job(2).state) == ("cancelled", "done")
    assert orders(shop) == {"job2-1": TWO}


def test_a_host_that_is_taken_back_while_it_sends_leaves_the_session_to_its_guest(shop: Shop) -> None:
    two(shop)
    wake(shop)
    shop.live(4, until="watch")
    shop.live(3)
    jobs.cancel(shop.store, "anna", 1, clock=shop.clock)
    shop.live(60)
    assert (shop.job(1).state, shop.job(2).state) == ("cancelled", "done")
    assert orders(shop) == {"job1-1": (*ONE, *TWO)}
    assert {slot.host: slot.state for slot in shop.store.every(Slot)} == {
        **dict.fromkeys(ONE, "damaged"),
        **ready(*TWO),
    }


def test_a_guest_that_is_taken_back_does_not_end_the_session_of_its_host(shop: Shop) -> None:
    two(shop)
    wake(shop)
    shop.live(4, until="watch")
    shop.live(3)
    jobs.cancel(shop.store, "anna", 2, clock=shop.clock)
    shop.live(60)
    assert (shop.job(1).state, shop.job(2).state) == ("done", "cancelled")


# -- killed -----------------------------------------------------------------------------------


def test_a_shared_session_that_is_started_anew_does_not_wait_for_a_guest_s_node_with_the_image(
    shop: Shop,
) -> None:
    two(shop)
    wake(shop)
    shop.live(4, until="watch")
    shop.live(3)
    shop.say("node3", "checking", job=2)
    shop.transport = FakeTransport(shop.transport._tools)
    shop.live(8)
    assert orders(shop) == {"job1-1": (*ONE, "node4")}
    shop.say("node3", "verified", shop.digest(shop.job(2)), job=2)
    shop.live(60)
    assert (shop.job(1).state, shop.job(2).state) == ("done", "done")
    assert orders(shop) == {"job1-1": (*ONE, "node4")}


def story(folder: Path, death: Death) -> dict[str, object]:
    """Two people deploy the same image to the same slot of two machines, one right after the other."""
    world = World(folder, roots=0, meshes=2)
    for node in ("node1", "node2"):
        deploy.deploy(world.store, "anna", Order("mesh/debian", node, slot=7), clock=world.clock)
    live_mortally(world, death, 0.25)
    return {
        "machines": {name: machine.runs for name, machine in world.machines.items()},
        "slots": [(slot.host, slot.number, slot.state) for slot in world.store.every(Slot)],
        "jobs": sorted((job.kind, job.state) for job in world.store.jobs()),
        "sent": sorted(world.transport._sessions),
        "sessions": world.transport.sessions(),
        "overrides": world.store.overrides(),
    }


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_any_moment_two_jobs_with_one_session_come_to_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, share: int
) -> None:
    folder: Callable[[str], Path] = tmp_path_factory.mktemp
    unharmed = Death()
    expected = story(folder("unharmed"), unharmed)
    assert expected["machines"] == {"node1": "slot:7", "node2": "slot:7"}
    assert expected["sent"] == ["job1-1"]
    for number in range(share + 1, unharmed.count + 1, SHARES):
        found = story(folder(f"at{number}"), Death(number))
        sent = found.pop("sent")
        assert found == {key: value for key, value in expected.items() if key != "sent"}, (
            f"killed at {number}: {unharmed.moments[number - 1]}, sent {sent}"
        )
