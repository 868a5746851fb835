"""A lab: a site network with its own DHCP server, bootd beside it, and machines to boot.

    with Lab("demo") as lab:
        lab.add_node(NodeSpec("bios1", Kind.BIOS))
        lab.register("bios1")
        lab.bootd("memory", "add", "hello", "--kernel", …)
        lab.bootd("boot", "bios1", "memory:hello")
        lab.power_on("bios1")
        lab.wait_for("bios1", "BOOTD-READY", 120)

Everything a lab is made of is in its run folder, so another process can go on with
it, or take it down after the first was killed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bootd.drivers.power import qemu, qmp
from bootd.lab import console, machines, needs, servers, target
from bootd.lab import process as processes
from bootd.lab.errors import LabError
from bootd.lab.machines import NodeSpec, Places
from bootd.lab.network import Network, inside
from bootd.lab.process import Process
from bootd.lab.state import DEFAULT_ROOT, Node, RunFolder, State, names, socket_path_fits


class Lab:
    """The lab *name*, be it up already or not."""

    def __init__(self, name: str, *, loss: float = 0.0, root: Path = DEFAULT_ROOT) -> None:
        self.name = name
        self.loss = loss  # percent of frames that are dropped on the bridge
        self.run = RunFolder(root, name)
        self.network = Network(name)
        self._children: list[subprocess.Popen[bytes]] = []
        self._logs: dict[str, console.ConsoleLog] = {}

    # -- the whole lab -----------------------------------------------------------------------

    @property
    def config(self) -> Path:
        """The file to name with ``--config`` or ``$BOOTD_CONFIG``."""
        return self.run.path / "bootd.toml"

    @property
    def data_dir(self) -> Path:
        return self.run.path / "data"

    @property
    def maker(self) -> Process | None:
        """The command that put the lab up, while it still runs."""
        try:
            found = self.run.load().maker
        except (LabError, ValueError):
            return None
        return found if found is not None and found.alive else None

    def log(self, server: str) -> Path:
        """Return the log of ``site``, ``bootd`` or ``tgtd``."""
        return self.run.path / f"{server}.log"

    def up(self, *, config_extra: str = "", site_dhcp: bool = True, luns: bool = False) -> Self:
        """Make the network and start the servers; takes everything down again if a part fails.

        Without *site_dhcp* nobody gives addresses but bootd, if *config_extra* has it do so.
        With *luns* there is an iSCSI target, and bootd keeps LUNs on it.
        """
        needs.check(loss=self.loss > 0, luns=luns)
        if self.run.exists or self.network.exists:
            raise LabError(
                f"the lab {self.name!r} is up already, or was left behind; bootd lab down --name {self.name}"
            )
        if not socket_path_fits(self.run.path / ("x" * 40)):
            raise LabError(f"{self.run.path}: too long a path for sockets; choose a shorter folder")
        self._claim()
        try:
            self._build(target.CONFIG + config_extra if luns else config_extra, site_dhcp, luns)
        except BaseException:
            self.down()
            raise
        return self

    def _claim(self) -> None:
        """Note ourselves as the maker; raises `LabError` where another was quicker."""
        with self.run.change() as state:
            if state.maker is not None:
                raise LabError(f"the lab {self.name!r} is being put up by another command")
            state.maker, state.loss = processes.identify(os.getpid()), self.loss

    def _build(self, config_extra: str, site_dhcp: bool, luns: bool) -> None:
        self.data_dir.mkdir(exist_ok=True)
        self.network.up()
        if self.loss > 0:
            self.network.lose(self.loss)
        site = self.run.path / "site.conf"
        site.write_text(servers.site_config(self.run.path, has_dhcp=site_dhcp))
        process = self._serve("site", inside(self.network.site, servers.site_command(site)))
        servers.wait_until_bound(process, self.log("site"))
        self.config.write_text(servers.bootd_config(self.run.path, config_extra))
        if luns:
            self.start_target()
        self.start_bootd()

    def start_bootd(self) -> None:
        """Start the real ``bootd serve`` in its namespace and wait until it answers."""
        self.log("bootd").write_text("")
        command = servers.bootd_command(self.config, "serve")
        process = self._serve("bootd", inside(self.network.boot, command))
        servers.wait_until_ready(process, self.log("bootd"))

    def stop_bootd(self) -> None:
        """End the daemon as an init system would."""
        self._stop("bootd", patience_s=10)

    def start_target(self, portals: Sequence[str] = target.PORTALS) -> None:
        """Start the iSCSI target; what it exports it is told by bootd."""
        process = self._serve(target.NAME, inside(self.network.boot, target.command(portals)))
        target.wait_until_there(process, self.run.path, self.log(target.NAME))

    def stop_target(self) -> None:
        """Have the target gone from one moment to the next, and with it every session."""
        self._stop(target.NAME, patience_s=0)  # it does not heed SIGTERM while it has targets

    def _stop(self, name: str, *, patience_s: float) -> None:
        with self.run.change() as state:
            process = state.servers.pop(name, None)
        if process is not None:
            process.end(patience_s=patience_s)
        self._reap()

    def _serve(self, name: str, argv: list[str]) -> Process:
        environment = servers.bootd_environment() | target.environment(self.run.path)
        process, child = processes.start(argv, log=self.log(name), env=environment)
        self._children.append(child)
        with self.run.change() as state:
            state.servers[name] = process
        return process

    def down(self) -> None:
        """Take down whatever there is of the lab: machines, servers, namespaces, folder. Never fails halfway.

        What the state file does not know (a lab whose maker was killed) is found by
        its namespaces: nothing lives there that the lab did not start.
        """
        try:
            state = self.run.load()
        except (LabError, ValueError):
            state = State()  # nothing noted, or half written: the namespaces tell the rest
        for node in state.nodes.values():
            if node.process is not None:
                node.process.end()
        for name, server in reversed(list(state.servers.items())):
            server.end(patience_s=0 if name == target.NAME else 5)
        for pid in self.network.inhabitants():
            stranger = processes.identify(pid)
            if stranger is not None:
                stranger.end()
        self._reap()
        self.network.down()
        shutil.rmtree(self.run.path, ignore_errors=True)

    def _reap(self) -> None:
        """Collect our own children that have ended, so that none stays a zombie."""
        self._children = [child for child in self._children if child.poll() is None]

    def __enter__(self) -> Self:
        return self if self.run.exists else self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # -- bootd in it -------------------------------------------------------------------------

    def bootd(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the bootd command on the lab's configuration; raises `LabError` with its words if it fails."""
        done = subprocess.run(
            servers.bootd_command(self.config, *argv),
            env=servers.bootd_environment() | target.environment(self.run.path),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise LabError(f"bootd {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def register(self, name: str, **settings: str) -> None:
        """Enter the machine *name* into bootd's host table, with what a power driver needs to switch it."""
        power = {"power": "qmp", qemu.SETTING: str(self.places(name).qmp)}
        words = [word for key, value in (power | settings).items() for word in ("--set", f"{key}={value}")]
        self.bootd("hosts", "add", name, "--mac", self.node(name).spec.mac, *words)

    # -- its machines ------------------------------------------------------------------------

    def state(self) -> State:
        return self.run.load()

    def node(self, name: str) -> Node:
        """Return the machine *name*; raises `LabError` with the names there are."""
        nodes = self.state().nodes
        if name not in nodes:
            raise LabError(
                f"the lab {self.name!r} has no machine {name!r}; it has: {', '.join(nodes) or 'none'}"
            )
        return nodes[name]

    def places(self, name: str) -> Places:
        return Places(self.run.path, f"n-{name}")

    def add_node(self, spec: NodeSpec) -> NodeSpec:
        """Plug in a machine; it stays off. Returns the spec with its MAC address."""
        full = machines.complete(self.name, spec)
        with self.run.change() as state:
            if spec.name in state.nodes:
                raise LabError(f"the lab {self.name!r} already has a machine {spec.name!r}")
            tap = f"tap{len(state.nodes)}"
            self.network.add_tap(tap)
            state.nodes[spec.name] = Node(full, tap)
        if full.kind.firmware == "uefi":
            shutil.copyfile(machines.OVMF_VARS, self.places(spec.name).vars)
        return full

    def power_on(self, name: str, *, is_held: bool = False) -> None:
        """Press the button of a machine that is off; with *is_held*, leave that to bootd's power driver."""
        node = self.node(name)
        if node.is_on:
            raise LabError(f"{name} is on already; bootd lab boot {name} restarts it")
        places = self.places(name)
        self.console(name).restart()
        qemu_argv = machines.command(self.name, node.spec, node.tap, places, is_held=is_held)
        argv = inside(self.network.lan, qemu_argv)
        process, child = processes.start(argv, log=places.messages, env=needs.environment())
        self._children.append(child)
        with self.run.change() as state:
            state.nodes[name].process = process
        if not qmp.wait_until_there(places.qmp, lambda: process.alive):
            raise LabError(f"{name} does not start; QEMU said:\n{places.messages.read_text()}")

    def power_off(self, name: str) -> None:
        """Pull the plug; a machine that is off stays off."""
        node = self.node(name)
        if node.process is not None:
            node.process.end()  # QEMU takes SIGTERM as the end of power
        with self.run.change() as state:
            state.nodes[name].process = None
        self._reap()

    def reset(self, name: str) -> None:
        """Press the reset button."""
        if not self.node(name).is_on:
            raise LabError(f"{name} is off")
        self.console(name).restart()
        qmp.execute(self.places(name).qmp, "system_reset")

    def boot(self, name: str) -> None:
        """Make *name* start from its firmware: power on, or reset."""
        if not self.node(name).is_on:
            self.power_on(name)
        elif self.power(name) == "prelaunch":  # switched off by a power driver; its QEMU stays
            self.console(name).restart()
            qmp.execute(self.places(name).qmp, "cont")
        else:
            self.reset(name)

    def power(self, name: str) -> str:
        """Return ``off``, or QEMU's word: ``running``, ``paused`` …"""
        return qmp.status(self.places(name).qmp) if self.node(name).is_on else "off"

    def console(self, name: str) -> console.ConsoleLog:
        """Return the log of the machine's serial console since its last power-on by us."""
        if name not in self._logs:
            self._logs[name] = console.ConsoleLog(self.places(name).console_log)
        return self._logs[name]

    def wait_for(self, name: str, pattern: str, timeout_s: float = 180.0) -> re.Match[str]:
        """Return the first match on the machine's console since power-on.

        Raises `NotArrived` in the end, or once the machine is off without having said it.
        """
        node = self.node(name)
        return console.wait_for(self.console(name), name, pattern, timeout_s, lambda: node.is_on)


def labs(root: Path = DEFAULT_ROOT) -> list[str]:
    """Return the names of the labs that are up, or were left behind."""
    return names(root)
