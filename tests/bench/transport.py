"""How long an image takes to 1, 4 and 8 receivers over links of 200 Mbit/s, and two images at once."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from bootd.drivers.source import FileSource
from bootd.drivers.tools import Tools
from bootd.drivers.transport import Channel, Network, Order, ReceiverStep, SessionStep, allocate
from bootd.drivers.transport.udpcast import UdpcastTransport
from tests.bench.figures import Figure, Peer
from tests.helpers.receivers import UdpReceivers
from tests.helpers.segment import SENDER, Segment, segment

MBIT = 200
SIZE = 128 << 20
COUNTS = (1, 4, 8)
GOAL_PEER, GOAL_FLAT, GOAL_EQUAL = "≤ 1 × peer", "≤ 1.1 × one", "≤ 1.2 × the other"
_JOIN_S = 0.7  # receivers are there before the sender, with either


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures; in each round ours and udpcast by hand follow each other."""
    if shutil.which("udp-sender") is None:
        print("NOT MEASURED: images to many machines (package udpcast): make bench-packages", file=sys.stderr)
        return
    image = folder / "image"
    image.write_bytes(os.urandom(SIZE))
    nodes = [f"node{number}" for number in range(1, max(COUNTS) + 1)]
    with segment(nodes, mbit=MBIT) as network:
        ours: dict[int, list[float]] = {count: [] for count in COUNTS}
        byhand: dict[int, list[float]] = {count: [] for count in COUNTS}
        for number in range(rounds):
            for count in COUNTS:
                work = folder / f"{number}-{count}"
                ours[count].append(_ours(network, work, image, nodes[:count]))
                byhand[count].append(_by_hand(network, work, image, nodes[:count]))
        for count in COUNTS:
            what = f"128 MiB to {count} by udpcast, links of {MBIT} Mbit/s"
            yield Figure(what, tuple(ours[count]), "s", GOAL_PEER, Peer("by hand", tuple(byhand[count])))
        one = Peer("to 1", tuple(ours[1]))
        yield Figure(f"  to {max(COUNTS)} and to 1", tuple(ours[max(COUNTS)]), "s", GOAL_FLAT, one)
        yield _two(network, folder, image, nodes, rounds)


def _two(network: Segment, folder: Path, image: Path, nodes: Sequence[str], rounds: int) -> Figure:
    """Two sessions at once, each with half the rate and half the machines."""
    later, sooner = [], []
    for number in range(rounds):
        half = len(nodes) // 2
        parts = {"a": nodes[:half], "b": nodes[half:]}
        taken = sorted(_sessions(network, folder / f"{number}-two", image, parts).values())
        sooner.append(taken[0])
        later.append(taken[1])
    what = f"two images at once, to {len(nodes) // 2} each"
    return Figure(what, tuple(later), "s", GOAL_EQUAL, Peer("the other", tuple(sooner)))


def _ours(network: Segment, folder: Path, image: Path, nodes: Sequence[str]) -> float:
    return _sessions(network, folder / "ours", image, {"a": nodes})["a"]


def _sessions(
    network: Segment, folder: Path, image: Path, parts: dict[str, Sequence[str]]
) -> dict[str, float]:
    """Return how long each session took, from its start until its last receiver has ended."""
    folder.mkdir(parents=True)
    transport = UdpcastTransport(Tools(folder / "own"), Network(lambda: SENDER, network.whose))
    channels: list[Channel] = []
    with closing(UdpReceivers(network, folder)) as receivers:
        for name, nodes in parts.items():
            channels.append(allocate(channels))
            for node in nodes:
                receivers.start(name, node, channels[-1], keep=False)
        time.sleep(_JOIN_S)
        begun = time.perf_counter()
        for (name, nodes), channel in zip(parts.items(), channels, strict=True):
            rate = MBIT * 1_000_000 // len(parts)
            order = Order(name, FileSource.of(image), tuple(nodes), channel, rate)
            network.sender.run(lambda order=order: transport.start(order))  # type: ignore[misc]
        taken = {}
        while len(taken) < len(parts):
            time.sleep(0.01)
            for name in parts.keys() - taken.keys():
                if all(receivers.has_ended(name, node) for node in parts[name]):
                    taken[name] = time.perf_counter() - begun
        for name, nodes in parts.items():
            while (status := transport.status(name)).step is not SessionStep.OVER:
                time.sleep(0.01)
            assert status.nodes(ReceiverStep.DONE) == tuple(nodes), status
        return taken


def _by_hand(network: Segment, folder: Path, image: Path, nodes: Sequence[str]) -> float:
    """The same with udp-sender as one would type it."""
    folder = folder / "byhand"
    folder.mkdir(parents=True)
    channel = Channel("239.192.0.1", 9000)
    with closing(UdpReceivers(network, folder)) as receivers:
        for node in nodes:
            receivers.start("a", node, channel, keep=False)
        time.sleep(_JOIN_S)
        begun = time.perf_counter()
        argv = [
            *("udp-sender", "--file", str(image), "--interface", "eth0", "--nokbd", "--no-progress"),
            *("--full-duplex", "--portbase", str(channel.port), "--mcast-rdv-address", channel.address),
            *("--min-receivers", str(len(nodes)), "--max-wait", "30"),
        ]
        subprocess.run(network.sender.command(*argv), check=True, stderr=subprocess.DEVNULL)
        for node in nodes:
            assert receivers.wait("a", node) == 0
        return time.perf_counter() - begun
