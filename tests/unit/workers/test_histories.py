"""Random histories of a testbed: whatever people and machines do, what must hold holds, and all ends."""

import os
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bootd.drivers.faults import Refuse, Unreachable
from bootd.errors import BootdError
from bootd.lifecycle import RESERVATION
from bootd.model import Deployment, Job, Reservation
from bootd.services import deploy, jobs, reservations, slots
from tests.helpers.site import NOON
from tests.helpers.world import World

NODES = st.sampled_from(["node1", "node2", "node[1-2]", "node3", "node[3-4]", "node[4-5]", "node[1-5]"])
PROJECTS = st.sampled_from(["mesh", "orbit", "centmesh"])
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # nothing here outlives a power cut


class Histories(RuleBasedStateMachine):
    """People book, move, extend and cancel; machines fail; the daemon dies; time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="bootd-world-", dir=MEMORY)
        self.world = World(Path(self._folder.name))

    def teardown(self) -> None:
        """Whatever happened, a week later everything has come to its end."""
        for machine in self.world.machines.values():
            machine.habits.comes_up = True
        self.world.run(24 * 7)
        for reservation in self.world.store.every(Reservation):
            assert RESERVATION.is_final(reservation.state), reservation
        for deployment in self.world.store.every(Deployment):
            assert deployment.state in ("dark", "failed"), deployment
        assert not self.world.store.jobs(states=("waiting", "running"))
        assert not self.world.transport.sessions()
        assert not self.world.store.places()
        self.world.store.close()
        self._folder.cleanup()

    @property
    def hour(self) -> float:
        return (self.world.clock() - NOON).total_seconds() / 3600

    @rule(project=PROJECTS, nodes=NODES, start=st.integers(0, 12), length=st.sampled_from([0.2, 1, 3]))
    def book(self, project: str, nodes: str, start: int, length: float) -> None:
        with suppress(BootdError):  # a refusal with its reason is an answer
            self.world.book(self.hour + start, self.hour + start + length, nodes, project)

    @rule(project=PROJECTS, nodes=NODES, slot=st.none() | st.integers(5, 7), length=st.sampled_from([0.2, 1]))
    def deploy(self, project: str, nodes: str, slot: int | None, length: float) -> None:
        ends_at = self.world.clock() + timedelta(hours=length)
        order = deploy.Order(f"{project}/debian", nodes, slot=slot, ends_at=ends_at)
        with suppress(BootdError):  # a refusal with its reason is an answer
            deploy.deploy(self.world.store, "anna", order, clock=self.world.clock)

    @rule(data=st.data(), hours=st.sampled_from([-2, -0.5, 0.5, 4]))
    def extend(self, data: Any, hours: float) -> None:
        def deed(chosen: Reservation) -> None:
            end = chosen.ends_at + timedelta(hours=hours)
            reservations.extend(self.world.store, "anna", chosen.id, end, clock=self.world.clock)

        self._to_one(data, deed)

    @rule(data=st.data(), nodes=st.none() | NODES, start=st.integers(0, 12))
    def move(self, data: Any, nodes: str | None, start: int) -> None:
        def deed(chosen: Reservation) -> None:
            at = self.world.clock() + timedelta(hours=start)
            reservations.move(
                self.world.store, "anna", chosen.id, clock=self.world.clock, starts_at=at, nodes=nodes
            )

        self._to_one(data, deed)

    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        self._to_one(data, lambda chosen: reservations.cancel(self.world.store, "anna", [chosen.id]))

    @rule(data=st.data())
    def cancel_or_retry_a_job(self, data: Any) -> None:
        found = self.world.store.jobs()
        if not found:
            return
        job: Job = data.draw(st.sampled_from(found))
        verb = data.draw(st.sampled_from([jobs.cancel, jobs.retry]))
        with suppress(BootdError):  # a refusal with its reason is an answer
            verb(self.world.store, "anna", job.id, clock=self.world.clock)

    @rule(nodes=NODES, number=st.integers(5, 25), verb=st.sampled_from(["pin", "unpin", "wipe"]))
    def slot(self, nodes: str, number: int, verb: str) -> None:
        with suppress(BootdError):  # a refusal with its reason is an answer
            getattr(slots, verb)(self.world.store, "anna", nodes, number)

    @rule(node=st.sampled_from([f"node{n}" for n in range(1, 6)]), data=st.data())
    def machine_changes_its_habits(self, node: str, data: Any) -> None:
        habits = self.world.machines[node].habits
        for name in ("comes_up", "deaf_to_soft", "dies_while_written", "writes_wrong"):
            setattr(
                habits,
                name,
                data.draw(st.booleans()) if name == "comes_up" else data.draw(st.integers(0, 3)) == 0,
            )

    @rule(verb=st.sampled_from(["on", "off", "reset-soft", "reset-hard"]), times=st.integers(1, 5))
    def switch_does_not_answer(self, verb: str, times: int) -> None:
        self.world.power.faults.plant(Unreachable(), verb, times=times)

    @rule(verb=st.sampled_from(["clone", "export", "delete", "write", "create"]), data=st.data())
    def lun_backend_fails(self, verb: str, data: Any) -> None:
        fault = data.draw(st.sampled_from([Refuse(), Unreachable(), Unreachable(done=True)]))
        self.world.luns.faults.plant(fault, verb)

    @rule(minutes=st.sampled_from([1, 10, 45, 180]))
    def time_goes_on(self, minutes: int) -> None:
        self.world.run(minutes / 60)

    @rule(hours=st.sampled_from([1, 5]))
    def daemon_is_down(self, hours: float) -> None:
        self.world.clock.at += timedelta(hours=hours)
        self.world.live()

    @invariant()
    def what_must_hold_holds(self) -> None:
        self.world.check()

    def _to_one(self, data: Any, deed: Any) -> None:
        found = self.world.store.every(Reservation)
        if not found:
            return
        with suppress(BootdError):  # a refusal with its reason is an answer
            deed(data.draw(st.sampled_from(found)))


# EXPLORE=1: a thousand new ones, some six minutes
Histories.TestCase.settings = settings(
    max_examples=1000 if os.environ.get("EXPLORE") else 40, stateful_step_count=25
)
TestHistories = Histories.TestCase
