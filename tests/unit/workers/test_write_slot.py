"""An image comes into a slot of many disks; only a node's own word makes its slot ready."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.drivers.faults import Crash, Refuse, Unreachable
from bootd.drivers.power import PowerState
from bootd.drivers.source import BytesSource
from bootd.drivers.transport import Order as Ordered
from bootd.drivers.transport import SessionMissing, allocate
from bootd.drivers.transport.course import Fate
from bootd.drivers.transport.fake import FakeTransport
from bootd.model import (
    DeployedNode,
    Deployment,
    DiskImage,
    ImageRef,
    Job,
    JobKind,
    Outcome,
    Project,
    Role,
    Slot,
    Target,
    TargetKind,
)
from bootd.services import images, jobs
from bootd.store import Transaction
from bootd.workers.sessions import Session, session_of
from bootd.workers.write_slot import WriteSlot
from tests.helpers.deeds import a_reservation
from tests.helpers.site import NOON, a_host, an_image
from tests.helpers.workshop import SETTINGS, Workshop

NODES = ("node1", "node2", "node3")
SIZE = 2000 * 512  # octets; eight seconds at a megabit per second
PACE = replace(SETTINGS, window=8, window_pause_s=10.0, rate=1_000_000, join_s=60.0)


class Shop(Workshop):
    """A workshop whose machines run an agent that receives, compares and says what it found."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.silent: set[str] = set()
        self.says: dict[str, tuple[str, str]] = {}  # node -> what it says instead of "verified"
        self._told: dict[str, Any] = {}
        with self.store.transaction("anna", "furnish") as change:
            change.keep(Project("mesh", "anna", NOON))
            change.put_memory_image(an_image("imager"))
        self.image = self.add_image(b"a disk".ljust(SIZE, b"."))

    def add_image(self, octets: bytes, name: str = "mesh/debian") -> DiskImage:
        path = self.folder / "new.raw"
        path.write_bytes(octets)
        return images.add(self.store, "anna", self.tree, name, path, clock=self.clock)

    def book(
        self,
        nodes: tuple[str, ...] = NODES,
        image: DiskImage | None = None,
        slot: int = 7,
        *,
        state: str = "booked",
    ) -> Job:
        """Have a booking of the image whose slot is to be written now."""
        image = image or self.image
        with self.store.transaction("calendar", "plan") as change:
            number = change.next_id(Deployment)
            change.keep(a_reservation(number, state=state, nodes=nodes))
            new = Deployment(number, number, Role.MESH, image.ref, image.identity, nodes, NOON, slot=slot)
            change.keep(new)
            return self._add(change, number, nodes)

    def _add(self, change: Transaction, number: int, nodes: tuple[str, ...]) -> Job:
        return jobs.add(
            change,
            JobKind.WRITE_SLOT,
            by="calendar",
            now=self.clock(),
            nodes=nodes,
            reservation=number,
            deployment=number,
        )

    def live(self, seconds: float = 120, until: str = "") -> None:
        """Let time go by and agents speak, until a job is at a step."""
        for _ in range(int(seconds)):
            self.run()
            if until and until in {job.step for job in self.store.jobs(states=("running",))}:
                return
            self._speak()
            self.clock.move(seconds=1)
        self.run()

    def _speak(self) -> None:
        for job in self.store.jobs(states=("running",)):
            for part in self.store.job_parts(job.id):
                if part.step == "received" and part.outcome is Outcome.OPEN and part.node not in self.silent:
                    word, detail = self.says.get(part.node, ("verified", self.digest(job)))
                    self.say(part.node, word, detail, job.id)

    def digest(self, job: Job) -> str:
        return self.deployment(job.deployment or 0).digest

    def deployment(self, number: int = 1) -> Deployment:
        found = self.store.find(Deployment, number)
        assert found is not None
        return found

    def nodes_of(self, number: int = 1) -> dict[str, str]:
        return {node.node: node.state for node in self.store.deployed_nodes(number)}

    def slots(self, number: int = 7) -> dict[str, str]:
        return {slot.host: slot.state for slot in self.store.every(Slot) if slot.number == number}

    def session(self, job: int = 1) -> Session:
        found = session_of(self.job(job))
        assert found is not None
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return a_shop(tmp_path)


def a_shop(folder: Path, **pace: Any) -> Shop:
    shop = Shop({JobKind.WRITE_SLOT: WriteSlot()}, folder, nodes=6, settings=replace(PACE, **pace))
    shop.power.states = {f"node{n}": PowerState.ON for n in range(1, 7)}
    return shop


def ready(*nodes: str) -> dict[str, str]:
    return dict.fromkeys(nodes, "ready")


# -- as it should go --------------------------------------------------------------------------


def test_every_node_has_the_image_by_its_own_word(shop: Shop) -> None:
    shop.book()
    shop.live()
    assert (shop.job().state, shop.job().note) == ("done", "3 of 3 nodes have the image")
    assert shop.slots() == shop.nodes_of() == ready(*NODES)
    assert shop.deployment().state == "hd-ready"
    [slot] = {replace(slot, host="") for slot in shop.store.every(Slot)}
    assert (slot.image, slot.digest) == (shop.image.ref, shop.image.identity)


def test_while_it_is_written_no_slot_can_be_booted(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    assert set(shop.slots().values()) == {"writing"}
    assert set(shop.nodes_of().values()) == {"waiting"}
    assert shop.deployment().state == "deploy-hd"


def test_the_nodes_boot_the_imager_once_and_are_power_cycled(shop: Shop) -> None:
    seen: list[tuple[str, Target]] = []
    shop.power.started = lambda start: seen.extend((o.host, o.target) for o in shop.store.overrides())
    shop.book(("node1",))
    shop.live()
    assert seen == [("node1", Target(TargetKind.MEMORY, "imager"))]
    assert shop.switched() == [("off", "node1"), ("on", "node1")]


def test_orders_that_nobody_used_are_gone_at_the_end(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    assert len(shop.store.overrides()) == 3
    shop.live()
    assert shop.store.overrides() == []


def test_a_person_s_later_order_is_left_alone(shop: Shop) -> None:
    shop.book(("node1",))
    shop.live(until="watch")
    [ours] = shop.store.overrides()
    with shop.store.transaction("bob") as change:
        change.put_override(replace(ours, id=change.next_override_id(), target=Target(TargetKind.LOCAL)))
    shop.live()
    assert [override.target for override in shop.store.overrides()] == [Target(TargetKind.LOCAL)]


def test_a_node_that_holds_the_image_is_not_touched(shop: Shop) -> None:
    shop.keep(Slot("node2", 7, shop.image.ref, shop.image.identity, "ready"))
    shop.book()
    shop.live()
    assert "node2" not in {node for _, node in shop.switched()}
    assert (shop.part("node2").note, shop.nodes_of()) == ("had the image already", ready(*NODES))


def test_where_every_node_holds_the_image_nothing_is_sent(shop: Shop) -> None:
    shop.keep(*(Slot(node, 7, shop.image.ref, shop.image.identity, "ready") for node in NODES))
    shop.book()
    shop.run()
    assert (shop.job().state, shop.deployment().state, shop.switched()) == ("done", "hd-ready", [])


def test_the_device_is_that_of_the_node_s_scheme(shop: Shop) -> None:
    shop.book()
    shop.live()
    assert {node.device for node in shop.store.every(DeployedNode)} == {"/dev/sda7"}


def test_people_see_how_far_it_is(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    shop.live(6)
    part = shop.part("node1")
    assert part.step == "receiving"
    assert 0 < part.octets < part.size
    assert part.rate == PACE.rate // 8
    assert shop.job().note == "sending: 0 of 3 nodes have the image"


def test_what_is_sent_is_the_whole_folder(shop: Shop) -> None:
    shop.book()
    shop.live()
    assert shop.transport.order("job1-1").image.size > SIZE
    octets = b"".join(shop.transport.received("job1-1", "node1"))
    assert b"a disk" in octets


# -- nodes that fail --------------------------------------------------------------------------


def test_a_node_that_wrote_something_else_is_tried_once_more_and_left_out(shop: Shop) -> None:
    shop.says["node2"] = ("verified", "sha256:other")
    shop.book()
    shop.live(300)
    assert shop.transport.order("job1-2").receivers == ("node2",)
    assert shop.slots() == {**ready("node1", "node3"), "node2": "damaged"}
    assert shop.nodes_of() == {**ready("node1", "node3"), "node2": "failed"}
    assert (shop.job().state, shop.deployment().state) == ("partly", "hd-ready")
    assert shop.part("node2").note == "it wrote sha256:other"


def test_a_node_that_succeeds_the_second_time_counts(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "disk error")
    shop.book()
    shop.live(until="verify")
    shop.live(5)
    del shop.says["node2"]
    shop.live(300)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))
    assert [start.node for start in shop.power.starts].count("node2") == 2


def test_a_word_of_the_first_session_does_not_count_in_the_second(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "disk error")
    shop.book()
    shop.live(100)
    assert shop.job().facts["round"] == 2
    shop.silent.add("node2")
    shop.live(700)
    assert shop.part("node2").outcome is Outcome.FAILED


def test_the_reason_a_node_gives_is_kept(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "/dev/sda7 is too small")
    shop.book()
    shop.live(300)
    assert shop.part("node2").note == "/dev/sda7 is too small"
    [node] = [node for node in shop.store.deployed_nodes(1) if node.node == "node2"]
    assert node.note == "/dev/sda7 is too small"


def test_a_node_that_never_says_that_it_is_right_is_not_ready(shop: Shop) -> None:
    shop.silent.add("node3")
    shop.book()
    shop.live(800)
    assert shop.slots() == {**ready("node1", "node2"), "node3": "damaged"}
    assert "said nothing for 300 s" in shop.part("node3").note


def test_a_node_that_does_not_join_is_left_out_and_holds_up_nobody(shop: Shop) -> None:
    shop.transport.fates["node1"] = Fate(joins_after_s=None)
    shop.book()
    shop.live(120)
    assert shop.outcomes()["node2"] is Outcome.OK
    shop.live(200)
    assert (shop.job().state, shop.part("node1").note) == ("partly", "did not join within 60 s")


def test_a_node_that_dies_in_the_middle_is_left_out(shop: Shop) -> None:
    shop.transport.fates["node1"] = Fate(dies_at=SIZE // 2)
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.slots()["node1"]) == ("partly", "damaged")


def test_where_no_node_has_it_the_deployment_has_failed(shop: Shop) -> None:
    shop.says = dict.fromkeys(NODES, ("failed", "no disk"))
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.deployment().state) == ("failed", "failed")
    assert set(shop.slots().values()) == {"damaged"}


def test_a_node_that_cannot_be_switched_does_not_keep_the_others_waiting(shop: Shop) -> None:
    with shop.store.transaction("anna") as change:
        change.put_host(a_host(2))
    shop.book()
    shop.live(200)
    assert shop.transport.order("job1-1").receivers == ("node1", "node3")
    assert (shop.job().state, "has no setting 'power'" in shop.part("node2").note) == ("partly", True)


def test_where_no_node_can_be_switched_nothing_is_sent(shop: Shop) -> None:
    shop.power.faults.plant(Refuse(), "off", times=None)
    shop.book()
    shop.live(100)
    assert shop.job().state == "failed"
    with pytest.raises(SessionMissing):
        shop.transport.order("job1-1")


def test_a_second_try_of_the_job_is_for_the_nodes_left_out(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "no disk")
    shop.book()
    shop.live(300)
    shop.says.clear()
    jobs.retry(shop.store, "bob", 1, clock=shop.clock)
    before = len(shop.power.starts)
    shop.live(200)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))
    assert [start.node for start in shop.power.starts[before:]] == ["node2"]
    assert shop.transport.order("job1-3").receivers == ("node2",)


# -- what is refused --------------------------------------------------------------------------


def test_without_the_imager_nothing_is_touched_and_the_way_out_is_named(shop: Shop) -> None:
    with shop.store.transaction("anna") as change:
        change.remove_memory_image("imager")
    shop.book()
    shop.run()
    assert (shop.job().state, shop.deployment().state, shop.slots()) == ("failed", "failed", {})
    assert "bootd memory add imager" in shop.job().note


def test_an_image_that_was_found_damaged_is_not_sent(shop: Shop) -> None:
    shop.keep(replace(shop.image, state="damaged"))
    shop.book()
    shop.run()
    assert (shop.job().state, shop.job().note) == ("failed", "image mesh/debian@1 is damaged")


def test_a_dark_store_that_is_away_is_waited_for(shop: Shop) -> None:
    root = shop.tree.root
    root.rename(root.with_name("elsewhere"))
    shop.book()
    shop.live(20)
    assert (shop.job().state, shop.slots()) == ("running", {})
    assert "unavailable" in shop.job().note
    root.with_name("elsewhere").rename(root)
    shop.live(200)
    assert shop.job().state == "done"


def test_a_slot_that_somebody_pinned_is_not_written(shop: Shop) -> None:
    shop.keep(Slot("node2", 7, ImageRef("orbit", "old", 1), "sha256:old", "ready", pinned=True))
    shop.book()
    shop.run()
    assert (shop.job().state, shop.slots()) == ("failed", {"node2": "ready"})
    assert "pinned" in shop.job().note


def test_nodes_that_somebody_has_are_not_taken_from_him(shop: Shop) -> None:
    shop.keep(a_reservation(9, nodes=("node3",), images=()))
    shop.book()
    shop.live(60)
    assert (shop.switched(), shop.slots()) == ([], {})
    assert shop.job().note == "waits: node3 is held by reservation 9"
    shop.keep(a_reservation(9, nodes=("node3",), images=(), state="ended"))
    shop.live(150)
    assert shop.job().state == "done"


def test_two_jobs_do_not_write_to_one_node_at_once(shop: Shop) -> None:
    other = shop.add_image(b"b" * SIZE, "mesh/other")
    shop.book()
    shop.book(("node3", "node4"), other, 8)
    shop.live(until="watch")
    assert shop.job(2).note == "waits: job 1 writes to node3"
    shop.live(300)
    assert (shop.job(1).state, shop.job(2).state) == ("done", "done")
    assert shop.slots(8) == ready("node3", "node4")


# -- one network ------------------------------------------------------------------------------


def test_two_jobs_that_begin_together_get_a_channel_each_and_half_the_rate(shop: Shop) -> None:
    shop.book(("node1", "node2"))
    shop.book(("node3", "node4"))
    shop.live(until="watch")
    one, two = shop.session(1), shop.session(2)
    assert (one.rate, two.rate) == (PACE.rate // 2, PACE.rate // 2)
    assert not one.channel.collides(two.channel)
    shop.live()
    assert (shop.job(1).state, shop.job(2).state) == ("done", "done")


def test_a_job_that_comes_later_waits_until_the_network_is_free(shop: Shop) -> None:
    shop.book(("node1", "node2"))
    shop.live(until="watch")
    assert shop.session().rate == PACE.rate
    shop.book(("node3", "node4"))
    shop.run()
    assert (shop.job(2).note, len(shop.power.starts)) == ("waits for a part of the network", 2)
    shop.live(200)
    assert shop.job(2).state == "done"


def test_never_more_is_given_out_than_there_is(shop: Shop) -> None:
    for node in ("node1", "node2", "node3", "node4", "node5"):
        shop.book((node,))
    most = 0
    for _ in range(200):
        shop.live(1)
        sessions = [found for job in shop.store.jobs() if (found := session_of(job)) is not None]
        open_rates = [session_of(job) for job in shop.store.jobs(states=("running",))]
        most = max(most, sum(session.rate for session in open_rates if session is not None))
        assert len({session.channel for session in sessions}) == len(sessions)
    assert 0 < most <= PACE.rate
    assert {job.state for job in shop.store.jobs()} == {"done"}


def test_a_job_s_second_session_is_not_where_the_first_may_still_be_sending(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "no disk")
    shop.book()
    shop.live(300)
    first, second = shop.transport.order("job1-1"), shop.transport.order("job1-2")
    assert not first.channel.collides(second.channel)


# -- killed, lost, taken back -----------------------------------------------------------------


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("verb", ["start", "status"])
def test_killed_in_a_call_of_the_transport_the_next_worker_goes_on(shop: Shop, verb: str, done: bool) -> None:
    questions = 2 if verb == "status" else 0  # whether a session of that name is there, before it is started
    shop.transport.faults.plant(Crash(done=done), verb, after=questions)
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))
    assert shop.holder == "first'"
    with pytest.raises(SessionMissing):
        shop.transport.order("job1-2")


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("verb", ["off", "on"])
def test_killed_while_switching_the_next_worker_goes_on(shop: Shop, verb: str, done: bool) -> None:
    shop.power.faults.plant(Crash(done=done), verb, "node2")
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))


def test_a_session_that_went_with_our_process_is_started_anew_under_its_id(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    before = shop.session()
    shop.transport = FakeTransport(shop.transport._tools)
    shop.run()
    shop.clock.move(seconds=6)
    shop.run()
    assert shop.transport.sessions() == [before.id]
    assert shop.transport.order(before.id).channel == before.channel
    shop.live()
    assert shop.job().state == "done"


def test_a_session_that_is_lost_twice_is_not_started_a_third_time(shop: Shop) -> None:
    shop.book()
    for _ in range(2):
        shop.live(until="watch")
        shop.transport = FakeTransport(shop.transport._tools)
        shop.clock.move(seconds=6)
        shop.run()
    shop.live(300)
    assert shop.job().state == "done"
    assert shop.transport.order("job1-2").receivers == NODES


def test_sessions_that_no_job_has_any_more_are_ended_and_those_of_others_left(shop: Shop) -> None:
    for name in ("job77-1", "backup"):
        channel = allocate([shop.transport.order(other).channel for other in shop.transport.sessions()])
        shop.transport.start(Ordered(name, BytesSource(b"x" * 10**8), ("node6",), channel, 1000))
    shop.book()
    shop.live(until="watch")
    assert shop.transport.sessions() == ["backup", "job1-1"]


def test_taken_back_by_a_person_nothing_half_written_counts(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    jobs.cancel(shop.store, "bob", 1, clock=shop.clock)
    shop.run()
    assert (shop.job().state, shop.job().note) == ("cancelled", "taken back by bob")
    assert set(shop.slots().values()) == {"damaged"}
    assert shop.deployment().state == "failed"  # its reservation wants it: it can be tried again
    assert (shop.transport.sessions(), shop.store.overrides()) == ([], [])


def test_taken_back_with_its_reservation_the_image_is_dark_again(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    shop.keep(a_reservation(1, state="cancelled", nodes=NODES))
    jobs.cancel(shop.store, "calendar: reservation 1 is cancelled", 1, clock=shop.clock)
    shop.run()
    assert shop.deployment().state == "dark"


def test_what_was_verified_before_it_was_taken_back_stays_ready(shop: Shop) -> None:
    shop.silent.add("node3")
    shop.book()
    shop.live(60)
    jobs.cancel(shop.store, "bob", 1, clock=shop.clock)
    shop.run()
    assert shop.slots() == {**ready("node1", "node2"), "node3": "damaged"}
    assert (shop.job().state, shop.deployment().state) == ("cancelled", "hd-ready")


def test_a_transport_that_does_not_answer_does_not_keep_a_job_from_ending(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    shop.transport.faults.plant(Unreachable("sender's host is down"), "stop", times=None)
    jobs.cancel(shop.store, "bob", 1, clock=shop.clock)
    shop.live(60)
    assert shop.job().state == "cancelled"
    assert set(shop.slots().values()) == {"damaged"}


def test_a_transport_that_refuses_fails_the_job_and_says_why(shop: Shop) -> None:
    shop.transport.faults.plant(Refuse("no interface has that address"), "start")
    shop.book()
    shop.live(60)
    assert (shop.job().state, shop.deployment().state) == ("failed", "failed")
    assert "no interface has that address" in shop.job().note
    assert set(shop.slots().values()) == {"damaged"}
