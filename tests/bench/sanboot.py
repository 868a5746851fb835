"""From power-on to a system on a LUN: bootd, and the same script by dnsmasq + nginx at the same target."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bootd.cli.context import cache_dir
from bootd.drivers.lun import Chap
from bootd.drivers.source import BytesSource
from bootd.imagebuild import disk
from bootd.imagebuild.disk import Words
from bootd.lab import Lab, roots
from bootd.lab.roots import NAME, NODES, A
from bootd.lab.story import Watch, runs
from bootd.lab.target import PORTALS
from bootd.resources import share
from tests.bench.boot import GOAL, PEER, Rival, power_on_to_shell
from tests.bench.figures import Figure, Peer
from tests.bench.servers import NotReady
from tests.helpers.lab import PATIENCE_S

_SECRET = "benchmarksecret0"


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures. Both labs are up all the time; machines run one at a time, A B B A."""
    ours: dict[str, list[float]] = {spec.name: [] for spec in NODES}
    theirs: dict[str, list[float]] = {spec.name: [] for spec in NODES}
    with ExitStack() as stack:
        lab, rival = _our_lab(stack), _RivalLab(stack, folder)
        for number in range(rounds):
            for spec in NODES:
                rival.give(rival.scripts[spec.name])
                pairs = [(lab, ours), (rival.lab, theirs)]
                for where, taken in pairs if number % 2 == 0 else reversed(pairs):
                    taken[spec.name].append(power_on_to_shell(where, spec.name))
                pair = f"{ours[spec.name][-1]:.2f} s, {PEER} {theirs[spec.name][-1]:.2f} s"
                _say(f"round {number + 1}: {spec.kind}: {pair}")
    for spec in NODES:
        peer = Peer(PEER, tuple(theirs[spec.name]))
        what = f"power-on → system on its LUN: {spec.kind.firmware.upper()}"
        yield Figure(what, tuple(ours[spec.name]), "s", GOAL, peer)


def _our_lab(stack: ExitStack) -> Lab:
    """Return a lab whose nodes are booked and have booted once, by the calendar; now they are off."""
    lab = stack.enter_context(Lab(f"bench-san-a-{time.time_ns() % 100_000_007}").up(luns=True))
    roots.furnish(lab, NODES, cache=cache_dir(), say=_say)
    names = [spec.name for spec in NODES]
    order = ("--start", "now", "--end", "+8h", "--image", A)
    lab.bootd("reservations", "add", roots.PROJECT, "--nodes", ",".join(names), *order)
    if not Watch(lab, names, lambda line: None).until(runs(1, A), 2 * PATIENCE_S):
        raise NotReady(lab.bootd("jobs", "list", "--all").stdout)
    for name in names:
        lab.power_off(name)
    return lab


class _RivalLab(Rival):
    """A lab of the same make whose clones are exported by hand."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        lab = stack.enter_context(Lab(f"bench-san-b-{time.time_ns() % 100_000_007}").up(luns=True))
        for spec in NODES:
            lab.add_node(spec)
        super().__init__(lab)
        of = disk.gather(share("images") / "rootdisk", cache=cache_dir(), progress=_say)
        image = disk.write(of, folder / "root.raw", Words(NAME), roots.TABLES[A]).read_bytes()
        luns = roots.backend(lab)
        luns.create("base", 64 << 20)
        luns.write("base", BytesSource(image))
        self.scripts = {}
        for spec in NODES:
            luns.clone("base", spec.name)
            made = luns.export(spec.name, f"iqn.2026-01.bench:{spec.name}", Chap(spec.name, _SECRET))
            self.scripts[spec.name] = script(made.initiator, made.chap_user, made.target)


def script(initiator: str, user: str, target: str) -> str:
    """Return what bootd's script does, for one portal after the other."""
    boots = "\n".join(f"sanboot iscsi:{portal.replace(':', '::')}:1:{target} ||" for portal in PORTALS)
    return f"""\
#!ipxe
set initiator-iqn {initiator}
set username {user}
set password {_SECRET}
{boots}
"""


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
