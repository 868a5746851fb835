"""Offers a second and their CPU time, TFTP throughput; bootd and dnsmasq in alternating rounds."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figures import Figure, Peer
from tests.bench.load import WINDOW, Told, ask, questions, read_files
from tests.bench.servers import INTERFACE, SERVER, Server, Site, cable, dnsmasq
from tests.helpers.namespace import Namespace
from tests.helpers.site import a_host

OFFERS = 8_000  # of one round
HOSTS = (1_000, 10_000)
STRANGERS = WINDOW - 1
CLIENTS = 16
FILE_OCTETS = 1_000_000
READS = 64
PEER = "dnsmasq"

Start = Callable[[Namespace], AbstractContextManager[Server]]


@dataclass
class Runs:
    """What each round gave: work a second, CPU for each piece of it."""

    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    lost: int = 0


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures."""
    yield from _strangers(rounds, folder / "answers-0")
    for hosts in HOSTS:
        yield from _offers(rounds, folder / f"answers-{hosts}", hosts)
    yield from _tftp(rounds, folder / "answers-tftp")


def _strangers(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield what it costs to be silent; one known host in each window tells that the rest was heard."""
    stream = questions(1, OFFERS // WINDOW, strangers=STRANGERS)

    def work() -> Told:
        return ask(stream, INTERFACE, silent=STRANGERS)

    def units(told: Told) -> float:
        return told.answers * WINDOW

    ours, theirs = _alternate(rounds, folder, 1, work, units)
    yield Figure("questions a second of unknown machines (silence)", *_pair(ours, theirs, "rate", "/s"))
    yield Figure("  CPU each", *_pair(ours, theirs, "cpu", "µs"))


def _offers(rounds: int, folder: Path, hosts: int) -> Iterator[Figure]:
    stream = questions(hosts, OFFERS)

    def work() -> Told:
        return ask(stream, INTERFACE)

    ours, theirs = _alternate(rounds, folder, hosts, work, lambda told: told.answers)
    yield Figure(f"offers a second, {hosts:,} hosts, {WINDOW} out", *_pair(ours, theirs, "rate", "/s"))
    yield Figure("  CPU each", *_pair(ours, theirs, "cpu", "µs"))
    if ours.lost or theirs.lost:
        yield Figure("  not answered", (float(ours.lost),), "", "0", Peer(PEER, (float(theirs.lost),)))


def _tftp(rounds: int, folder: Path) -> Iterator[Figure]:
    served = folder / "tftp"
    served.mkdir(parents=True)
    (served / "file").write_bytes(bytes(range(256)) * (FILE_OCTETS // 256))

    def work() -> Told:
        return read_files(SERVER, "file", clients=CLIENTS, reads=READS)

    ours, theirs = _alternate(rounds, folder, 0, work, lambda told: told.octets / 1e6, tftp=served)
    about = f"{CLIENTS} clients, blksize 1432"
    yield Figure(f"TFTP, {about}", *_pair(ours, theirs, "rate", "MB/s"))
    ours.cpu, theirs.cpu = [us / 1e3 for us in ours.cpu], [us / 1e3 for us in theirs.cpu]
    yield Figure("  CPU a MB", *_pair(ours, theirs, "cpu", "ms"))


def _pair(ours: Runs, theirs: Runs, field_name: str, unit: str) -> tuple[tuple[float, ...], str, str, Peer]:
    mine, peers = getattr(ours, field_name), getattr(theirs, field_name)
    return tuple(mine), unit, "", Peer(PEER, tuple(peers))


def _alternate(
    rounds: int,
    folder: Path,
    hosts: int,
    work: Callable[[], Told],
    units: Callable[[Told], float],
    *,
    tftp: Path | None = None,
) -> tuple[Runs, Runs]:
    """Run *work* against both servers in turn, each on its own cable; both stay up all the time."""
    ours, theirs = Runs(), Runs()
    config = peer_config(hosts, folder, tftp)
    extra = f'[tftp]\nroot = "{tftp}"\n' if tftp else ""
    with cable() as (space, client), cable() as (peer_space, peer_client):
        site = Site(space, folder / "bootd", hosts=hosts, extra=extra)
        ports = [67, 4011, *([69] if tftp else [])]
        with site.serve() as server, dnsmasq(peer_space, folder / PEER, config, ports=ports) as peer:
            for number in range(rounds + 1):
                for runs, one, where in ((ours, server, client), (theirs, peer, peer_client)):
                    told, cpu_s = _run(one, where, work)
                    if number:  # the first is to warm up
                        runs.rate.append(units(told) / told.seconds)
                        runs.cpu.append(cpu_s * 1e6 / units(told))
                        runs.lost += told.lost
    return ours, theirs


def _run(server: Server, client: Namespace, work: Callable[[], Told]) -> tuple[Told, float]:
    before = server.settled_cpu_s()
    told = client.run(work)
    return told, server.settled_cpu_s() - before


def peer_config(hosts: int, folder: Path, tftp: Path | None) -> str:
    """Return dnsmasq's configuration for the same answers: a loader for known machines, else silence."""
    files = f"enable-tftp\ntftp-root={tftp}\ntftp-max=1000\nquiet-tftp\n" if tftp else ""
    rows = "".join(f"dhcp-host={a_host(n).mac},set:ours\n" for n in range(1, hosts + 1))
    return f"""\
port=0
interface={INTERFACE}
bind-interfaces
dhcp-range=10.99.7.0,proxy,255.255.255.0
dhcp-leasefile={folder / "leases"}
dhcp-ignore=tag:!known
pxe-prompt="bench",0
pxe-service=x86PC,"iPXE",undionly.kpxe
quiet-dhcp
user=root
log-facility=-
{files}{rows}"""
