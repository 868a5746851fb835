"""The demonstration: two machines go from power-on to a shell over the network, step by step."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from bootd import config, imagebuild
from bootd.clock import utc_now
from bootd.lab.chain import CONSOLE, REPORTED, Follower, Summary, newest, summarise
from bootd.lab.lab import Lab
from bootd.lab.machines import Kind, NodeSpec
from bootd.model import Observation
from bootd.resources import share
from bootd.store import Store, open_store

IMAGE = "hello"
NODES = (NodeSpec("bios1", Kind.BIOS), NodeSpec("uefi1", Kind.UEFI))
# The ROM of QEMU's BIOS machine is iPXE already and would go straight to its script: let it load ours
# first, so that both machines show the whole way, TFTP too.
SETTINGS = {"bios1": {"ipxe": "chain"}}
PATIENCE_S = 300.0  # a machine whose two cores do other things boots slowly
READY = "BOOTD-READY"

_POLL_S = 0.25

Say = Callable[[str], None]
Show = Callable[[Observation, datetime], None]  # a step, and when its machine was powered on


@dataclass(frozen=True, slots=True)
class Outcome:
    """How each machine fared."""

    summaries: tuple[Summary, ...]

    @property
    def all_arrived(self) -> bool:
        return all(summary.arrived for summary in self.summaries)


def furnish(
    lab: Lab,
    nodes: Sequence[NodeSpec],
    *,
    cache: Path,
    say: Say,
    settings: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> None:
    """Plug in *nodes*, enter them into bootd's table with their *settings*, give bootd the hello image."""
    for spec in nodes:
        full = lab.add_node(spec)
        lab.register(spec.name, **settings.get(spec.name, {}))
        say(f"machine {full.name}: {full.kind}, {full.mac}")
    add_image(lab, IMAGE, cache=cache, say=say)


def add_image(lab: Lab, name: str, *, cache: Path, say: Say) -> None:
    """Build the recipe *name* and add it to the lab's bootd as a memory image."""
    built = imagebuild.build(share("images") / name, cache=cache, progress=say)
    initrds = [word for path in built.initrds for word in ("--initrd", str(path))]
    lab.bootd("memory", "add", name, "--kernel", str(built.kernel), *initrds, "--cmdline", built.cmdline)


def store_opener(lab: Lab) -> Callable[[], Store]:
    """Return what opens the lab's database."""
    url = config.load(lab.config).store_url
    return lambda: open_store(url, clock=utc_now)


def boot_and_watch(lab: Lab, nodes: Sequence[str], show: Show, *, patience_s: float = PATIENCE_S) -> Outcome:
    """Power on (or reset) *nodes* together and show each step until all reported in, or patience ends."""
    open_lab_store = store_opener(lab)
    with open_lab_store() as store:
        follower = Follower(open_lab_store, nodes, newest(store))
    powered_at = {}
    for name in nodes:
        powered_at[name] = utc_now()
        lab.boot(name)
    steps = _watch(lab, follower, powered_at, show, patience_s)
    return Outcome(tuple(summarise(name, powered_at[name], steps) for name in nodes))


def _watch(
    lab: Lab, follower: Follower, powered_at: dict[str, datetime], show: Show, patience_s: float
) -> list[Observation]:
    steps: list[Observation] = []
    expected, until = set(powered_at), time.monotonic() + patience_s
    quiet = set(powered_at)  # whose console has not said that the shell is there
    while expected and time.monotonic() < until:
        time.sleep(_POLL_S)
        new = [*_consoles(lab, quiet), *follower.poll()]
        for step in sorted(new, key=lambda step: step.at):
            show(step, powered_at[step.host])
        steps += new
        expected -= {step.host for step in new if step.event == REPORTED}
    return steps


def _consoles(lab: Lab, quiet: set[str]) -> list[Observation]:
    """Return a step for each machine whose console shows the marker now; takes it out of *quiet*."""
    found = []
    for name in sorted(quiet):
        lines = [line.text for line in lab.console(name).poll() if READY in line.text]
        if lines:
            text = "console: " + lines[0][lines[0].index(READY) :]
            found.append(Observation(utc_now(), lab.node(name).spec.mac, name, CONSOLE, text))
    quiet -= {step.host for step in found}
    return found
