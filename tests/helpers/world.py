"""A whole testbed in a folder: store, dark store, fakes, machines that behave, and a clock moved by hand.

Nothing of bootd is faked but the drivers: reservations, planner, engine, handlers, decisions and
reports are the real ones. A machine asks `decide` what to boot, checks that what it gets is what
was promised, and says so by `reports.heard`, as its agent would.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bootd.boot.decide import BootDecision, BootLun, BootMemory, BootSlot, decide
from bootd.boot.snapshot import Policy
from bootd.darkstore.tree import Tree
from bootd.drivers.lun import Chap, LunError
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.power import Powers
from bootd.drivers.power.fake import FakePower, Start
from bootd.drivers.tools import Tools
from bootd.drivers.transport import ReceiverStep, TransportError
from bootd.drivers.transport.fake import FakeTransport
from bootd.events import Event
from bootd.model import Deployment, DiskImage, Host, Job, JobKind, LunPair, Project, Reservation, Role
from bootd.services import images, luns, reports, reservations, tasks
from bootd.services.booking import Draft
from bootd.services.reports import Given, Word
from bootd.services.reservations import Wish
from bootd.store import Store, open_store
from bootd.workers.engine import Engine
from bootd.workers.handlers import HANDLERS
from bootd.workers.planner import plan
from bootd.workers.settings import Settings
from bootd.workers.work import Context
from netboot.arch import BY_NAME
from netboot.request import BootRequest, Stage
from tests.helpers.site import NOON, HandClock, a_host, an_image

FIRMWARE_S, SYSTEM_S = 20.0, 30.0  # from power-on to the question, from the script to the running system
_LOOK = timedelta(minutes=5)  # the daemon looks at least so often
_PAUSE = timedelta(seconds=1)  # at least, between two looks: a job whose worker died is due for a minute
IMAGE_SIZE = 4096


class BrokenPromise(AssertionError):
    """A machine got something else than what it was to boot."""


@dataclass(slots=True)
class Habits:
    """How a machine behaves."""

    comes_up: bool = True
    deaf_to_soft: bool = False
    dies_while_written: bool = False
    writes_wrong: bool = False
    hangs_when_written: bool = False


@dataclass(slots=True)
class Machine:
    """A machine: what is on its disk, and what it runs just now."""

    host: Host
    habits: Habits = field(default_factory=Habits)
    disk: dict[int, str] = field(default_factory=dict)  # slot -> identity of the image in it
    runs: str = "nothing"  # "slot:7", "lun:VOLUME", "memory:NAME", "default"
    life: int = 0  # counts its starts: what an earlier life had in mind does not happen


class World:
    """*nodes*: node1 to node<roots> are root nodes of the group rack, the others mesh nodes."""

    def __init__(self, folder: Path, *, roots: int = 2, meshes: int = 3, settings: Settings | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.clock = folder, HandClock(NOON)
        self.store = self.open_store()
        tools = Tools(
            folder / "luns", clock=self.clock, wait=lambda seconds: self.clock.move(seconds=seconds)
        )
        self.power = FakePower(tools, started=self._started)
        self.luns = FakeLuns(tools)
        self.transport = FakeTransport(tools)
        self.tree = Tree(folder / "dark")
        self.settings = settings or Settings(lun_backend="fake", transport="fake", hands=1)
        self.events: list[Event] = []
        self.machines: dict[str, Machine] = {}
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._planned: tuple[str, int, int] | None = None  # the state that the last plan left as it was
        self._following: datetime | None = None
        self._plans_at = NOON
        self._furnish(roots, meshes)

    # -- the site --------------------------------------------------------------------------------

    def open_store(self) -> Store:
        return open_store(f"sqlite:///{self.folder}/bootd.db", clock=lambda: self.clock(), durable=False)

    def _furnish(self, roots: int, meshes: int) -> None:
        hosts = [self._host(n, n <= roots) for n in range(1, roots + meshes + 1)]
        self.machines = {host.name: Machine(host) for host in hosts}
        with self.store.transaction("anna", "furnish") as change:
            change.put_hosts(hosts)
            change.put_memory_image(an_image("imager"))
            for project in ("mesh", "orbit", "centmesh"):
                change.keep(Project(project, "anna", self.clock()))
        luns.add(self.store, "anna", "rack", 1 << 20, clock=self.clock)
        for project in ("mesh", "orbit", "centmesh"):
            self.add_image(f"{project}/debian")

    def _host(self, number: int, is_root: bool) -> Host:
        role, group = (Role.ROOT, "rack") if is_root else (Role.MESH, "field")
        return a_host(number, role=role, groups=(group,), settings={"power": "fake"})

    def add_image(self, name: str) -> DiskImage:
        path = self.folder / "new.raw"
        path.write_bytes(f"{name} {next(self._numbers)}".encode().ljust(IMAGE_SIZE, b"."))
        return images.add(self.store, "anna", self.tree, name, path, clock=self.clock)

    def book(self, start: float, end: float, nodes: str, project: str = "mesh", **draft: Any) -> Reservation:
        """Book for the hours from NOON on; raises `CannotBook`."""
        draft.setdefault("images", (f"{project}/debian",))
        wish = Wish(
            Draft(project, nodes, **draft), NOON + timedelta(hours=start), NOON + timedelta(hours=end)
        )
        [made] = reservations.add(self.store, "anna", wish, clock=self.clock)
        return made.reservation

    # -- the daemon ------------------------------------------------------------------------------

    def context(self, holder: str = "here", store: Store | None = None) -> Context:
        return Context(
            store=store or self.store,
            clock=self.clock,
            holder=holder,
            settings=self.settings,
            powers=Powers(Tools(self.folder / "power"), {"fake": lambda tools: self.power}),
            luns=lambda: self.luns,
            transport=lambda: self.transport,
            tree=self.tree,
            scratch=self.folder / "unpacked",
            emit=self.events.append,
        )

    def tick(self, context: Context | None = None) -> datetime | None:
        """Plan, unless nothing was written since and it is not time; do what is due; return when to plan.

        So the daemon does: it sleeps until then, until somebody commits, and no longer than `_LOOK`.
        """
        context = context or self.context()
        state = self._state(context.holder)
        if state != self._planned or self.clock() >= self._plans_at:
            self._planned = None
            self._following = plan(context)
            self._plans_at = min(self._following or self.clock() + _LOOK, self.clock() + _LOOK)
            self._planned = state if state == self._state(context.holder) else None
        Engine(context, HANDLERS).run_due()
        return self._following

    def _state(self, holder: str) -> tuple[str, int, int]:
        """Return what changes with each commit, and with the process that plans."""
        written = self.store._connection.total_changes  # type: ignore[attr-defined]
        return holder, self.store.data_version(), written

    def run(self, hours: float) -> None:
        """Let the testbed live for so long."""
        self.run_until(self.clock() + timedelta(hours=hours))

    def run_until(self, end: datetime) -> None:
        while self.clock() < end:
            self.live()
            following = self.tick()
            self.check()
            self.clock.at = max(self.clock(), min(self._next(following), end))
        self.live()
        self.tick()
        self.check()

    def live(self) -> None:
        """Let the machines do what they had in mind by now."""
        while self._heap and self._heap[0][0] <= self.clock():
            heapq.heappop(self._heap)[2]()

    def _next(self, following: datetime | None) -> datetime:
        now = self.clock()
        open_jobs = self.store.jobs(states=("waiting", "running"))
        times = [now + _LOOK, *(job.due_at for job in open_jobs)]
        times += [following] if following is not None else []
        times += [self._heap[0][0]] if self._heap else []
        return max(min(times), now + _PAUSE)

    # -- the machines ----------------------------------------------------------------------------

    def _later(self, seconds: float, machine: Machine, deed: Callable[[], None]) -> None:
        """Do *deed* after so long, unless the machine was started again meanwhile."""
        life = machine.life

        def if_alive() -> None:
            if machine.life == life:
                deed()

        at = self.clock() + timedelta(seconds=seconds)
        heapq.heappush(self._heap, (at, next(self._numbers), if_alive))

    def _started(self, start: Start) -> None:
        self._start(self.machines[start.node])

    def _start(self, machine: Machine) -> None:
        self._log_out(machine)
        machine.life += 1
        machine.runs = "nothing"
        if machine.habits.comes_up:
            self._later(FIRMWARE_S, machine, lambda: self._ask(machine))

    def decision(self, node: str) -> BootDecision:
        request = BootRequest(
            self.machines[node].host.mac, BY_NAME["x86-bios"], Stage.IPXE, self.clock(), http=True
        )
        return decide(self.store.load_snapshot(Policy()), request)

    def _ask(self, machine: Machine) -> None:
        decision, asked_at = self.decision(machine.host.name), self.clock()
        with self.store.transaction("bootd", "report") as change:
            reports.heard(change, Given(machine.host.name, asked_at))
        match decision:
            case BootSlot():
                self._boot_slot(machine, decision, asked_at)
            case BootLun():
                self._boot_lun(machine, decision, asked_at)
            case BootMemory():
                self._later(SYSTEM_S, machine, lambda: self._run_imager(machine, decision, asked_at))
            case _:
                machine.runs = "default"

    def _boot_slot(self, machine: Machine, decision: BootSlot, asked_at: datetime) -> None:
        place = decision.place
        assert place.slot is not None
        promised = self._identity(str(place.image))
        if machine.disk.get(place.slot) != promised:
            raise BrokenPromise(f"{machine.host.name}: slot {place.slot} does not hold {place.image}")
        self._later(SYSTEM_S, machine, lambda: self._say_running(machine, f"slot:{place.slot}", asked_at))

    def _boot_lun(self, machine: Machine, decision: BootLun, asked_at: datetime) -> None:
        clone, image = decision.place.clone, decision.place.image
        assert clone is not None
        secret = self.store.secret("chap")
        assert secret is not None
        chap: Chap = luns.chap_of(secret, clone.volume)
        try:
            self.luns.log_in(clone.volume, clone.initiator, chap)
        except LunError as error:
            raise BrokenPromise(f"{machine.host.name}: cannot log in: {error}") from error
        octets = b"".join(self.luns.read(clone.volume))[:IMAGE_SIZE]
        if octets != self._octets(str(image)):
            raise BrokenPromise(f"{machine.host.name}: {clone.volume} does not hold {image}")
        machine.runs = f"login:{clone.volume}"
        self._later(SYSTEM_S, machine, lambda: self._say_running(machine, f"lun:{clone.volume}", asked_at))

    def _log_out(self, machine: Machine) -> None:
        kind, _, volume = machine.runs.partition(":")
        if kind in ("lun", "login"):
            for session in self.luns.sessions(volume):
                self.luns.log_out(volume, session.initiator)

    def _say_running(self, machine: Machine, what: str, asked_at: datetime) -> None:
        machine.runs = what
        self.say(machine, "running", given_at=asked_at)

    def say(self, machine: Machine, state: str, detail: str = "", **more: Any) -> None:
        more.setdefault("given_at", None)
        more.setdefault("override", None)
        with self.store.transaction("bootd", "report") as change:
            reports.heard(
                change, Word(host=machine.host.name, state=state, detail=detail, at=self.clock(), **more)
            )

    def _run_imager(self, machine: Machine, decision: BootMemory, asked_at: datetime) -> None:
        machine.runs = f"memory:{decision.image.name}"
        self.say(machine, "running", given_at=asked_at, override=decision.override)
        if decision.override is not None:
            with self.store.transaction("bootd", "evidence") as change:
                change.remove_override(machine.host.name, decision.override)
        if machine.habits.dies_while_written:
            machine.life += 1
            return
        self.say(
            machine, "joined", given_at=asked_at, override=decision.override, job=self._called_for(machine)
        )
        self._receive(machine)

    def _called_for(self, machine: Machine) -> int | None:
        """Return the job for which the imager runs, as it would be told."""
        task = tasks.task_of(self.store, machine.host.name)
        return None if task is None else task.job.id

    def _receive(self, machine: Machine) -> None:
        """Look whether the image is here; it is the imager's agent that compares digests."""
        name = machine.host.name
        for session in self.transport.sessions() + list(self.transport._sessions):
            try:
                steps = {one.node: one.step for one in self.transport.status(session).receivers}
            except TransportError:
                continue
            if steps.get(name) is ReceiverStep.DONE and (found := self._task(session)) is not None:
                self._wrote(machine, *found)
                return
        self._later(5.0, machine, lambda: self._receive(machine))

    def _task(self, session: str) -> tuple[Job, Deployment] | None:
        job = self.store.find(Job, int(session.removeprefix("job").partition("-")[0]))
        if job is None or job.kind is not JobKind.WRITE_SLOT or job.state != "running":
            return None
        deployment = self.store.find(Deployment, job.deployment or 0)
        return None if deployment is None else (job, deployment)

    def _wrote(self, machine: Machine, job: Job, deployment: Deployment) -> None:
        assert deployment.slot is not None
        if machine.runs == f"slot:{deployment.slot}":
            raise BrokenPromise(f"{machine.host.name}: slot {deployment.slot} written while it runs")
        own = self._called_for(machine) or job.id  # it may be another that shares the session
        is_right = not machine.habits.writes_wrong
        machine.disk[deployment.slot] = self._identity(str(deployment.image)) if is_right else "rubbish"
        if is_right:
            self.say(machine, "verified", machine.disk[deployment.slot], job=own)
            self._stay(machine)
        else:
            self.say(machine, "failed", "the digest does not match", job=own)

    def _stay(self, machine: Machine) -> None:
        """Ask what there is to do, and start anew when that is nothing."""
        if machine.habits.hangs_when_written:
            return
        if tasks.task_text(self.store, machine.host.name) == "task none\n":
            self._start(machine)
        else:
            self._later(2.0, machine, lambda: self._stay(machine))

    def _identity(self, ref: str) -> str:
        return images.find(self.store, ref).identity

    def _octets(self, ref: str) -> bytes:
        image = images.find(self.store, ref)
        return (self.tree.path(image.folder) / image.parts[0].file).read_bytes()

    # -- what is always true ---------------------------------------------------------------------

    def check(self) -> None:
        """Raise unless everything holds that must hold at every instant."""
        active = self.store.reservations_in(("active",))
        held = [node for reservation in active for node in reservation.nodes]
        assert len(held) == len(set(held)), f"two active reservations hold one node: {active}"
        for pair in self.store.every(LunPair):
            states = [side.state for side in pair.sides]
            assert states.count("active") == 1, f"{pair.group}: {states}"
        self._check_slots()

    def _check_slots(self) -> None:
        """A slot that a node runs from holds, by the records and in truth, what the node was given."""
        slots = {(slot.host, slot.number): slot for slot in self.store.slots()}
        for host, place in self.store.places().items():
            if place.slot is None or place.state not in ("ready", "running"):
                continue
            slot, promised = slots[host, place.slot], self._identity(str(place.image))
            assert (slot.state, slot.digest) == ("ready", promised), f"{host}: {slot} for {place}"
            assert self.machines[host].disk.get(place.slot) == promised, f"{host}: {place}"

    def reservation(self, number: int) -> Reservation:
        return reservations.find(self.store, number)

    def deployments(self, reservation: int) -> dict[str, str]:
        """Return role -> state."""
        return {str(each.role): each.state for each in self.store.deployments_of(reservation)}
