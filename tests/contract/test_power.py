"""What every power driver does, the fake and the real ones."""

import json
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.drivers.faults import Unreachable
from bootd.drivers.power import Power, PowerError, PowerRefused, PowerState, PowerUnreachable, ResetKind
from bootd.drivers.power import qmp as client
from bootd.drivers.power.fake import FakePower
from bootd.drivers.power.qemu import QemuPower
from bootd.drivers.power.shell import ShellPower
from bootd.drivers.tools import Tools
from bootd.model import Host
from tests.helpers.site import HandClock, a_host


class Bench(ABC):
    """A driver with two machines that are off, and one that nobody reaches."""

    power: Power
    nodes: tuple[Host, Host]
    unreachable: Host

    @abstractmethod
    def starts(self, node: Host) -> int:
        """Return how often the machine began at its firmware."""


class PowerContract:
    """Subclasses give a fixture ``bench``."""

    def test_on_and_off_name_the_state_that_is_wanted(self, bench: Bench) -> None:
        node, other = bench.nodes
        assert bench.power.state(node) is PowerState.OFF
        bench.power.on(node)
        assert bench.power.state(node) is PowerState.ON
        assert bench.power.state(other) is PowerState.OFF
        bench.power.off(node)
        assert bench.power.state(node) is PowerState.OFF

    def test_on_does_not_start_a_machine_that_is_on(self, bench: Bench) -> None:
        node, _ = bench.nodes
        bench.power.on(node)
        bench.power.on(node)
        assert bench.starts(node) == 1

    def test_off_may_be_repeated_and_the_machine_comes_back(self, bench: Bench) -> None:
        node, _ = bench.nodes
        bench.power.off(node)
        bench.power.on(node)
        bench.power.off(node)
        bench.power.off(node)
        bench.power.on(node)
        assert bench.power.state(node) is PowerState.ON
        assert bench.starts(node) == 2

    @pytest.mark.parametrize("kind", ResetKind)
    def test_a_reset_leaves_the_machine_on(self, bench: Bench, kind: ResetKind) -> None:
        node, _ = bench.nodes
        bench.power.on(node)
        bench.power.reset(node, kind)
        assert bench.power.state(node) is PowerState.ON

    def test_a_hard_reset_starts_the_machine_again(self, bench: Bench) -> None:
        node, other = bench.nodes
        bench.power.on(node)
        bench.power.on(other)
        bench.power.reset(node, ResetKind.HARD)
        assert (bench.starts(node), bench.starts(other)) == (2, 1)

    @pytest.mark.parametrize("kind", ResetKind)
    def test_a_machine_that_is_off_is_not_reset(self, bench: Bench, kind: ResetKind) -> None:
        node, _ = bench.nodes
        with pytest.raises(PowerRefused, match="node1: is off"):
            bench.power.reset(node, kind)
        assert bench.power.state(node) is PowerState.OFF

    def test_a_cycle_starts_a_machine_be_it_on_or_off(self, bench: Bench) -> None:
        node, _ = bench.nodes
        bench.power.cycle(node)
        assert bench.power.state(node) is PowerState.ON
        bench.power.cycle(node)
        assert bench.power.state(node) is PowerState.ON
        assert bench.starts(node) == 2

    def test_what_cannot_be_reached_may_be_tried_again(self, bench: Bench) -> None:
        for verb in (bench.power.state, bench.power.on, bench.power.off, bench.power.cycle):
            with pytest.raises(PowerUnreachable, match="node9") as caught:
                verb(bench.unreachable)
            assert not caught.value.is_permanent

    def test_boot_once_is_done_or_refused_for_good(self, bench: Bench) -> None:
        node, _ = bench.nodes
        try:
            bench.power.boot_once(node)
        except PowerError as error:
            assert error.is_permanent  # noqa: PT017 - both ends are allowed
        assert bench.power.state(node) is PowerState.OFF


class FakeBench(Bench):
    def __init__(self, folder: Path) -> None:
        clock = HandClock()
        self.fake = FakePower(Tools(folder, clock, lambda s: clock.move(seconds=s)))
        self.power = self.fake
        self.nodes = (a_host(1), a_host(2))
        self.unreachable = a_host(9)
        for verb in ("state", "on", "off"):
            self.fake.faults.plant(Unreachable(), verb, "node9", times=None)

    def starts(self, node: Host) -> int:
        return [start.node for start in self.fake.starts].count(node.name)


SWITCH = """#!/bin/sh
# A power switch of two files: usage: switch FOLDER VERB NODE
state=$1/$3.state; starts=$1/$3.starts
start() { echo on >"$state"; echo start >>"$starts"; }
[ "$3" != node9 ] || { echo "no route to $3"; exit 1; }
case $2 in
  on) grep -qs on "$state" || start ;;
  off) echo off >"$state" ;;
  reset) start ;;
  state) echo "power of $3 is $(cat "$state" 2>/dev/null || echo off)" ;;
  *) exit 64 ;;
esac
"""


class ShellBench(Bench):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        switch = folder / "switch"
        switch.write_text(SWITCH)
        verbs = {"on": "on", "off": "off", "reset": "reset", "soft-reset": "reset", "state": "state"}
        verbs["boot-once"] = "pxe"  # which this switch does not know
        settings = {f"power-{key}": f"sh {switch} {folder} {verb} {{name}}" for key, verb in verbs.items()}
        self.power = ShellPower(Tools(folder, wait=lambda s: None))
        one, two, nine = (a_host(n, settings=settings) for n in (1, 2, 9))
        self.nodes, self.unreachable = (one, two), nine

    def starts(self, node: Host) -> int:
        path = self.folder / f"{node.name}.starts"
        return len(path.read_text().splitlines()) if path.exists() else 0


class Events:
    """A second monitor of a QEMU, which hears what happens to the machine."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rwb")
        self._heard: list[str] = []
        self._ask("qmp_capabilities")

    def _ask(self, command: str) -> None:
        self._stream.write(json.dumps({"execute": command}).encode() + b"\n")
        self._stream.flush()
        while "return" not in (message := json.loads(self._stream.readline())):
            if "event" in message:
                self._heard.append(message["event"])

    def starts(self) -> int:
        """Count the resets of the running machine, and its going on after one."""
        for _ in range(2):  # a reset is carried out after its answer and before that of the next question
            self._ask("query-status")
        starts, is_running, is_reset = 0, False, True
        for event in self._heard:
            starts += (event == "RESET" and is_running) or (event == "RESUME" and is_reset)
            is_running = event == "RESUME" or (is_running and event != "STOP")
            is_reset = event == "RESET" or (is_reset and event != "RESUME")
        return starts

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class QemuBench(Bench):
    """Real QEMUs without a processor or a disk: they have a power state and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Polling QEMU's own process is the one wait that no clock of ours can move.
        self.power = QemuPower(Tools(folder, wait=lambda s: time.sleep(min(s, 0.05))))
        one, two, nine = (a_host(n, settings={"power-qmp": f"{folder}/node{n}.qmp"}) for n in (1, 2, 9))
        self.nodes, self.unreachable = (one, two), nine
        self.processes = [self._start(node) for node in self.nodes]
        self.events = {node.name: Events(Path(f"{node.settings['power-qmp']}.events")) for node in self.nodes}

    def _start(self, node: Host) -> subprocess.Popen[bytes]:
        path = Path(node.settings["power-qmp"])
        process = subprocess.Popen(
            [
                *("qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none", "-S"),
                *("-qmp", f"unix:{path},server=on,wait=off"),
                *("-qmp", f"unix:{path}.events,server=on,wait=off"),
            ]
        )
        assert client.wait_until_there(path, lambda: process.poll() is None)
        return process

    def starts(self, node: Host) -> int:
        return self.events[node.name].starts()

    def end(self) -> None:
        for events in self.events.values():
            events.close()
        for process in self.processes:
            process.kill()
            process.wait()


class TestFake(PowerContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return FakeBench(tmp_path)


class TestShell(PowerContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return ShellBench(tmp_path)


class TestQemu(PowerContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        bench = QemuBench(tmp_path)
        try:
            yield bench
        finally:
            bench.end()
