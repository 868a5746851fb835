"""The daemon: puts the rooms together, runs them in one TaskGroup, and takes them down again."""

import asyncio
import errno
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from bootd import grounds, systemd
from bootd.addresses import AddressWatch
from bootd.attribution import Attribution
from bootd.boot.attempt import Attempts
from bootd.boot.clients import Clients
from bootd.boot.decide import BootDecision, decide, find_host
from bootd.boot.desk import ScriptDesk
from bootd.boot.loops import LoopGuard
from bootd.boot.render import Renderer
from bootd.boot.snapshot import Snapshot
from bootd.boot.token import Tokens, read_or_make_secret
from bootd.clock import utc_now
from bootd.config import Config
from bootd.drivers.transport import Network, Offers
from bootd.events import (
    InternalError,
    OverrideUsed,
    PacketDropped,
    ServiceStarted,
    ServiceStopped,
    SnapshotPublished,
)
from bootd.http.admin import AdminParts, make_admin_app
from bootd.http.app import make_app, serve, serve_unix
from bootd.http.parts import Parts, Transfers
from bootd.imaging import make_network
from bootd.listeners.dhcp import DhcpListener, DhcpResponder
from bootd.listeners.reach import Reach, neighbour
from bootd.listeners.tftp import TftpListener
from bootd.model import Override
from bootd.outfit import chap_of, dark_tree, make_way
from bootd.ports import Sockets, bind
from bootd.programs import HELPER, Programs
from bootd.services.attendance import Attendance
from bootd.services.calendarfeed import CalendarFeeds
from bootd.services.capturing import CaptureDesk
from bootd.services.evidence import Evidence
from bootd.services.feed import SnapshotFeed
from bootd.services.filescan import FileIndex
from bootd.services.observe import Observer
from bootd.services.tasks import TaskDesk
from bootd.staff import start_workers
from bootd.store import Store, open_store
from bootd.telemetry import Problems, Telemetry
from bootd.tftpnames import TftpNames, base_url_of
from bootd.upkeep import Upkeep, roots
from bootd.witness import Witness
from netboot.dhcp.delivery import dotted
from netboot.request import BootRequest

_LOOK_EVERY_S = 10.0  # boot files, templates and image files are looked at this often


class Daemon:
    """One bootd: what it holds, and what happens between its parts."""

    def __init__(self, config: Config, telemetry: Telemetry) -> None:
        self._config = config
        self._telemetry = telemetry
        self._begun = time.monotonic()
        self._started_at = utc_now()
        self._snapshot = Snapshot()
        self._clients = Clients(neighbour)
        self._loops = LoopGuard()
        self._attribution = Attribution(self._clients, self.snapshot, telemetry.emit)
        self._emit = self._attribution.emit
        self._problems = Problems(self._emit)
        self._transfers = Transfers()
        self._offers = Offers()
        self._attendance = Attendance()
        self._subnets = config.subnets if config["dhcp.mode"] == "authoritative" else {}
        self._addresses = AddressWatch(self._subnets, ours=self._our_addresses, problems=self._problems)
        self._stopping = asyncio.Event()
        self._why_stopped = ""
        self._wake_calendar: Callable[[], None] = lambda: None

    def snapshot(self) -> Snapshot:
        """Return the state of the store that answers follow now."""
        return self._snapshot

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises `BootdError` where it cannot start."""
        asyncio.get_running_loop().set_exception_handler(self._unforeseen)
        async with AsyncExitStack() as stack:
            for number in (signal.SIGTERM, signal.SIGINT):  # first: it may come while we start
                asyncio.get_running_loop().add_signal_handler(number, self.stop, signal.Signals(number).name)
            await self._start(stack)
            systemd.notify("READY=1")
            self._emit(ServiceStarted(listening=self._listening(), seconds=time.monotonic() - self._begun))
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(work()) for work in (self._follow, self._look_after, self._watchdog)
                ]
                await self._stopping.wait()
                systemd.notify("STOPPING=1")
                for task in running:
                    task.cancel()
        self._emit(ServiceStopped(why=self._why_stopped))

    def _unforeseen(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Say what asyncio would log with a traceback: a flood of connections would fill the log."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            self._emit(PacketDropped(protocol="http", why="no-descriptor", source=""))
        else:
            self._emit(InternalError(where="loop", text=f"{context.get('message')}: {error!r}"))

    def stop(self, why: str) -> None:
        """Let `run` come to its end."""
        self._why_stopped = why
        self._stopping.set()

    # -- start ----------------------------------------------------------------------------

    async def _start(self, stack: AsyncExitStack) -> None:
        config, data = self._config, self._config.data_dir
        grounds.make_folders(config, stack)
        self._reach = Reach(
            config["server.interfaces"],
            http_port=config["http.port"],
            address=config["server.address"],
            tftp_server=config["tftp.server"],
        )
        with self._open_store() as store:  # made, migrated, and known to be readable before a port is taken
            self._chap = chap_of(store)
        sockets = self._bind(stack)
        # while we are root: the file may be readable to root alone
        self._admin_token = grounds.admin_token(config) if sockets.admin else None
        self._way_to_tgtd = make_way(config, grounds.user(config), stack)  # as root, for when we are not
        grounds.drop_privileges(config, self._emit)
        secret = read_or_make_secret(data / "secret")
        self._attempts, self._tokens = Attempts(secret), Tokens(secret)
        self._renderer = Renderer([data / "templates"])
        self._files = FileIndex(roots(config))
        stack.push_async_callback(self._files.aclose)
        self._upkeep = Upkeep(config, self._files, self._renderer, self._problems)
        self._programs = Programs(config.data_dir, self._files)
        self._desk = self._make_desk()
        base_url = base_url_of(config["server.address"], config["http.port"])
        self._names = TftpNames(self._files, self._desk, base_url, utc_now, self._emit)
        self._start_following(stack, sockets)
        self._answer_dhcp(stack, sockets)
        await self._answer_http(stack, sockets)
        self._start_calendar(stack)

    def _bind(self, stack: AsyncExitStack) -> Sockets:
        """Take every port while we may; raises `PortTaken` and `NotPermitted`."""
        sockets = bind(self._config, self._reach, stack)
        tftp = TftpListener(
            lookup=lambda name, asker: self._names.find(name, asker),
            emit=self._emit,
            port=self._config["tftp.port"],
            serves=lambda index: self._reach.server_of(index) is not None,
        )
        stack.push_async_callback(tftp.aclose)
        return sockets

    def _open_store(self) -> Store:
        return open_store(self._config.store_url, clock=utc_now)

    def _start_following(self, stack: AsyncExitStack, sockets: Sockets) -> None:
        """Begin to follow the store, and to write down what happens."""
        loop = asyncio.get_running_loop()
        self._newer: asyncio.Queue[tuple[Snapshot, float]] = asyncio.Queue()

        def publish(snapshot: Snapshot, seconds: float) -> None:
            loop.call_soon_threadsafe(self._newer.put_nowait, (snapshot, seconds))

        def trouble(topic: str, text: str) -> None:
            loop.call_soon_threadsafe(self._trouble, topic, text)

        feed = SnapshotFeed(
            self._open_store,
            self._upkeep.policy,
            poked=sockets.poke,
            publish=publish,
            trouble=partial(trouble, "store"),
            # at whatever was written: jobs wait for what no answer depends on
            looked=lambda: self._wake_calendar(),
        )
        self._snapshot = feed.start()
        stack.callback(feed.stop)
        self._look_again = feed.wake

        def used_up(override: Override, why: str) -> None:
            loop.call_soon_threadsafe(self._say_used, override, why)

        self._observer = Observer(
            self._open_store,
            committed=feed.wake,
            used_up=used_up,
            trouble=partial(trouble, "observations"),
        )
        self._observer.start()
        stack.callback(self._observer.close)
        witness = Witness(self._observer, self._clients, self._served_addresses, utc_now)
        evidence = Evidence(
            snapshot=self.snapshot,
            attempts=self._attempts,
            loops=self._loops,
            use_up=self._observer.override_used,
            emit=self._emit,
            monotonic=time.monotonic,
            mac_at=self._clients.mac_at,
        )
        self._telemetry.listen(evidence.take)
        self._telemetry.listen(witness.take)
        self._telemetry.listen(self._addresses.take)
        self._addresses.check(self._snapshot)

    def _start_calendar(self, stack: AsyncExitStack) -> None:
        if self._config["calendar.enabled"]:
            self._wake_calendar = start_workers(
                self._config,
                stack,
                self._open_store,
                emit=self._emit,
                trouble=self._trouble,
                committed=self._look_again,
                way_to_tgtd=self._way_to_tgtd,
                network=self._network(),
                attends=self._attendance.is_there,
            )
            self._wake_calendar()  # to what was committed while it started

    def _network(self) -> Network:
        host_name = self._attribution.host_name
        return make_network(self._config, lambda: self._reach.served, self._clients, host_name, self._offers)

    def _make_desk(self) -> ScriptDesk:
        return ScriptDesk(
            decide=self._decide,
            renderer=self._renderer,
            lookup=self._files.lookup,
            attempts=self._attempts,
            tokens=self._tokens,
            clients=self._clients,
            loader_for=lambda architecture: self._upkeep.policy.loaders.get(architecture.name),
            local_helper=HELPER,
            tftp_server=self._config["tftp.server"],
            chap=self._chap,
        )

    def _answer_dhcp(self, stack: AsyncExitStack, sockets: Sockets) -> None:
        responder = DhcpResponder(
            snapshot=self.snapshot,
            server_of=self._reach.server_of,
            clients=self._clients,
            repeats_of=lambda mac: self._loops.repeats(mac, time.monotonic()),
            clock=utc_now,
            emit=self._emit,
            subnets=self._subnets,
            chap=self._desk.chap,
        )
        stack.callback(DhcpListener(sockets.dhcp, responder, self._emit).close)

    async def _answer_http(self, stack: AsyncExitStack, sockets: Sockets) -> None:
        calendars = CalendarFeeds(self._open_store)
        stack.push_async_callback(calendars.aclose)
        tasks = TaskDesk(self._open_store)
        stack.push_async_callback(tasks.aclose)
        captures = CaptureDesk(self._open_store, dark_tree(self._config))
        stack.push_async_callback(captures.aclose)
        parts = Parts(
            desk=self._desk,
            lookup=self._files.lookup,
            attempts=self._attempts,
            tokens=self._tokens,
            emit=self._emit,
            problems=self._problems,
            clock=utc_now,
            clients=self._clients,
            host_name=self._attribution.host_name,
            mac_of=self._attribution.host_mac,
            address=self._config["server.address"],
            transfers=self._transfers,
            calendar=calendars.get,
            offered=self._offers.find,
            tasks=tasks,
            captures=captures,
            attendance=self._attendance,
        )
        runner = await serve(make_app(parts), sockets.http, self._emit)
        stack.push_async_callback(runner.cleanup)
        await self._answer_admins(stack, sockets)

    async def _answer_admins(self, stack: AsyncExitStack, sockets: Sockets) -> None:
        parts = AdminParts(
            emit=self._emit,
            problems=self._problems,
            started_at=self._started_at,
            interfaces=self._interfaces,
            counts=self._telemetry.by_name,
            generation=lambda: self._snapshot.generation,
            transfers=self._transfers,
            refresh=self._refresh,
        )
        path = self._config.data_dir / "admin.sock"
        path.unlink(missing_ok=True)
        runner = await serve_unix(make_admin_app(parts), str(path), self._emit)
        stack.push_async_callback(runner.cleanup)
        path.chmod(0o600)
        if sockets.admin:
            runner = await serve(make_admin_app(parts, token=self._admin_token), sockets.admin, self._emit)
            stack.push_async_callback(runner.cleanup)

    # -- questions ------------------------------------------------------------------------

    def _decide(self, request: BootRequest, *, waited: bool) -> BootDecision:
        host = find_host(self._snapshot, request)
        mac = host.mac if host is not None else request.mac
        if waited:
            self._loops.progress(mac)
        return decide(self._snapshot, request.repeated(self._loops.repeats(mac, time.monotonic())))

    def _interfaces(self) -> list[Mapping[str, object]]:
        return [{"name": i.name, "address": i.address, "index": i.index} for i in self._reach.served]

    def _served_addresses(self) -> set[str]:
        return {each.address for each in self._reach.served}

    def _our_addresses(self) -> set[str]:
        return {dotted(each) for facts in self._reach.facts() for each in facts.own}

    def _listening(self) -> str:
        config = self._config
        ports = ["DHCP 67 and 4011"] if config["dhcp.mode"] != "off" else []
        ports += [f"TFTP {config['tftp.port']}", f"HTTP {config['http.port']}"]
        where = ", ".join(f"{i.name} ({i.address})" for i in self._reach.served)
        return f"{', '.join(ports)} on {where}"

    # -- what goes on beside the answers ----------------------------------------------------

    def _trouble(self, topic: str, text: str) -> None:
        if text:
            self._problems.found(topic, text)
        else:
            self._problems.cleared(topic)

    def _say_used(self, override: Override, why: str) -> None:
        host = self._snapshot.hosts.get(override.host)
        used = OverrideUsed(
            mac=host.mac if host is not None else "",
            host=override.host,
            override=override.id,
            target=str(override.target),
            proof=why,
        )
        self._emit(used)

    async def _follow(self) -> None:
        """Answer by each newer snapshot; the files of a new memory image are found first."""
        while True:
            snapshot, seconds = await self._newer.get()
            if snapshot.memory_images != self._snapshot.memory_images:
                await self._files.refresh()
                self._upkeep.check_images(snapshot)
            self._snapshot = replace(snapshot, policy=self._upkeep.policy)
            self._addresses.check(snapshot)
            published = SnapshotPublished(
                generation=snapshot.generation, hosts=len(snapshot.hosts), milliseconds=seconds * 1e3
            )
            self._emit(published)

    async def _look_after(self) -> None:
        """Keep an eye on what changes without a commit."""
        self._trouble("uefi-local-boot", await asyncio.to_thread(self._programs.make_helper))
        while True:
            try:
                await self._refresh()
                for topic, text in (await self._programs.make_for_slots(self.snapshot)).items():
                    self._trouble(topic, text)
            except Exception as error:  # noqa: BLE001 - looking after things must not end the answers
                self._emit(InternalError(where="refresh", text=repr(error)))
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _refresh(self) -> None:
        self._reach.refresh()
        await self._upkeep.refresh(self.snapshot)
        self._snapshot = replace(self._snapshot, policy=self._upkeep.policy)
        self._addresses.check(self._snapshot)

    async def _watchdog(self) -> None:
        interval = systemd.watchdog_interval()
        while interval is not None:
            systemd.notify("WATCHDOG=1")
            await asyncio.sleep(interval)
