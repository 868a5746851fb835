"""Three nodes imaged by multicast and started from their slots: bootd, and the bare commands by hand.

By hand the nodes boot the same kernel and initramfs; its agent is replaced by one that asks nobody and
does the same to the disk, with the same shell functions. udp-sender sends, dnsmasq and nginx serve the rest.
The GRUB programs that are made once for a site are there before either begins.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bootd.boot.places import CORE_BOOT, core_file, slot_helper
from bootd.drivers.power import qmp
from bootd.drivers.transport import Channel
from bootd.imagebuild import cpio, slotboot, slotcore
from bootd.lab import Kind, Lab, NodeSpec
from bootd.lab.network import BOOT_ADDRESS, inside
from bootd.model.places import STANDARD_SCHEME
from bootd.services import tasks
from netboot.arch import Firmware
from tests.bench.boot import Rival
from tests.bench.figures import Figure, Peer
from tests.helpers.imager import NODE, SLOT, Imaging, built
from tests.helpers.lab import PATIENCE_S
from tests.helpers.meshlab import MeshLab
from tests.helpers.partitions import clonezilla_part, root_partition

NODES = ("mesh1", "mesh2", "mesh3")
GOAL, PEER = "≤ 1.1 × peer", "by hand"
MARKER = "BENCH-STARTED"
MBIT, BALLAST, DISK_MIB = 80, 12, 512
_CHANNEL = Channel("239.192.0.1", 9000)
_LOOK_EVERY_S = 0.05
_AGENT = """\
#!/bin/sh
. /etc/bootd/functions
. /etc/bootd/talk
. /etc/bootd/disk
. /etc/bootd/slot
server=$(argument server)
mkdir -p /run/image
ask() { cp "/etc/bench/${2##*/}" "/run/image/$1"; }
say() { echo "$1 $2"; }
progress() { :; }
until connect; do sleep 1; done
ask task /node/v1/task
write_slot || { echo "BENCH-FAILED $why"; exit 1; }
sync
reboot -f
"""


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figure: each round has blank disks and new labs, and begins with the other one."""
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        pairs = [(_by_bootd, ours), (_by_hand, theirs)]
        for take, taken in pairs if number % 2 == 0 else reversed(pairs):
            work = folder / f"{number}-{take.__name__}"
            work.mkdir()
            taken.append(take(work))
            shutil.rmtree(work)
        _say(f"round {number + 1}: {ours[-1]:.1f} s, {PEER} {theirs[-1]:.1f} s")
    what = f"{BALLAST} MiB to the slots of {len(NODES)} nodes, from power-on to their start"
    yield Figure(what, tuple(ours), "s", GOAL, Peer(PEER, tuple(theirs)))


def _image(folder: Path) -> Path:
    root = root_partition(folder / "root", MARKER, mib=2 * BALLAST, ballast=BALLAST)
    return clonezilla_part(folder / "parts", root)


def _until_started(lab: Lab, begun: float) -> float:
    """Return the seconds until the last node said that it was started from its slot."""
    left = set(NODES)
    while left:
        for node in sorted(left):
            lab.console(node).poll()
            if MARKER in lab.console(node).text:
                left.remove(node)
            elif "FAILED" in lab.console(node).text or time.perf_counter() - begun > 2 * PATIENCE_S:
                raise TimeoutError(f"{node} did not start:\n{lab.console(node).tail()}")
        time.sleep(_LOOK_EVERY_S)
    return time.perf_counter() - begun


# -- bootd ------------------------------------------------------------------------------------


def _by_bootd(folder: Path) -> float:
    lab = Lab(f"bench-i-a-{time.time_ns() % 100_000_007}")
    try:
        MeshLab(lab, folder, NODES).up(transport="udpcast", rate_mbit=MBIT)
        lab.bootd("images", "add", "mesh/debian", str(_image(folder)))
        _until_made(lab)
        begun = time.perf_counter()
        lab.bootd("deploy", "mesh/debian", "--nodes", ",".join(NODES), "--slot", str(SLOT), "--no-follow")
        return _until_started(lab, begun)
    finally:
        lab.down()


def _until_made(lab: Lab) -> None:
    """Return when bootd has made its programs for slots, the last of them being this."""
    last = lab.data_dir / "files" / slot_helper(Firmware.UEFI, "hd0", STANDARD_SCHEME.numbers[-1])
    begun = time.perf_counter()
    while not last.exists():
        if time.perf_counter() - begun > PATIENCE_S:
            raise TimeoutError(f"bootd did not make {last.name}")
        time.sleep(_LOOK_EVERY_S)


# -- by hand ----------------------------------------------------------------------------------


class _Bench(Rival):
    """A lab where everything lies ready that the commands need."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        for name in NODES:
            disk = folder / f"{name}.disk"
            with disk.open("wb") as file:
                file.truncate(DISK_MIB << 20)
            lab.add_node(NodeSpec(name, Kind.BIOS, disk=str(disk)))
            lab.power_on(name, is_held=True)
        super().__init__(lab)
        self.stream = self._lay_out(folder)

    def _lay_out(self, folder: Path) -> Path:
        """Write what nginx serves; return the image as it is sent."""
        imaging = Imaging(folder, _image(folder))
        with imaging.open_store() as store:
            told = [line for line in tasks.task_text(store, NODE).splitlines() if _is_kept(line)]
            permit = tasks.permit_text(store, NODE, _FACTS)
        told += ["transport udpcast", f"address {_CHANNEL.address}", f"port {_CHANNEL.port}"]
        image = built()
        shutil.copyfile(image.kernel, self._www / "vmlinuz")
        shutil.copyfile(image.initrds[0], self._www / "initrd.gz")
        entries = [
            cpio.regular("etc/bootd/agent", _AGENT.encode(), executable=True),
            cpio.regular("etc/bench/task", "\n".join([*told, ""]).encode()),
            cpio.regular("etc/bench/permit", permit.encode()),
        ]
        (self._www / "bench.gz").write_bytes(cpio.compress(cpio.pack(entries)))
        files = self._www / "files"
        (files / CORE_BOOT).parent.mkdir(parents=True)
        slotcore.boot_sector(files / CORE_BOOT)
        for partition in (slotcore.MENU, SLOT):
            slotcore.build(files / core_file(partition), partition)
        slotboot.build(files / _HELPER, Firmware.BIOS, "hd0", SLOT)
        self.give(_boots_imager(image.cmdline))
        return imaging.stream


_HELPER = slot_helper(Firmware.BIOS, "hd0", SLOT)
_SECTORS = str(DISK_MIB << 11)
_FACTS = {
    "job": "1",
    "name": "vda",
    "sectors": _SECTORS,
    "sector-size": "512",
    "removable": "0",
    "blank": "yes",
}


def _is_kept(line: str) -> bool:
    return line.partition(" ")[0] not in ("transport", "path", "address", "port")


def _boots_imager(cmdline: str) -> str:
    base = f"http://{BOOT_ADDRESS}"
    return f"""\
#!ipxe
kernel --name vmlinuz {base}/vmlinuz initrd=initrd.gz initrd=bench.gz {cmdline} server={base}
initrd --name initrd.gz {base}/initrd.gz
initrd --name bench.gz {base}/bench.gz
boot
"""


def _by_hand(folder: Path) -> float:
    with Lab(f"bench-i-b-{time.time_ns() % 100_000_007}") as lab:
        bench = _Bench(lab, folder)
        begun = time.perf_counter()
        for name in NODES:
            qmp.execute(lab.places(name).qmp, "cont")
        subprocess.run(_sender(lab, bench.stream), check=True, stdin=subprocess.DEVNULL, capture_output=True)
        bench.give(f"#!ipxe\nchain http://{BOOT_ADDRESS}/files/{_HELPER}\n")
        return _until_started(lab, begun)


def _sender(lab: Lab, stream: Path) -> Sequence[str]:
    return inside(
        lab.network.boot,
        [
            *("udp-sender", "--file", str(stream), "--interface", "eth0", "--nokbd", "--no-progress"),
            *("--full-duplex", "--portbase", str(_CHANNEL.port), "--max-bitrate", f"{MBIT}m"),
            *("--mcast-rdv-address", _CHANNEL.address, "--mcast-data-address", _CHANNEL.address),
            *("--min-receivers", str(len(NODES)), "--max-wait", str(round(PATIENCE_S))),
        ],
    )


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
