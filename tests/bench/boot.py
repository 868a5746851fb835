"""From power-on to the shell of a memory image: bootd, and dnsmasq + nginx in a lab of the same make."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bootd import imagebuild
from bootd.cli.context import cache_dir
from bootd.imagebuild import BuiltImage
from bootd.lab import Kind, Lab, NodeSpec
from bootd.lab import process as processes
from bootd.lab.demo import add_image
from bootd.lab.network import BOOT_ADDRESS, inside
from bootd.resources import share
from tests.bench.figures import Figure, Peer
from tests.bench.servers import NotReady
from tests.helpers.lab import PATIENCE_S, READY

LOADERS = Path("/usr/lib/ipxe")
GOAL = "≤ 1.05 × peer"
PEER = "dnsmasq+nginx"
_LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Case:
    """A way to boot that both servers know."""

    node: str
    kind: Kind
    what: str
    chains: bool = False  # loads undionly although its ROM is an iPXE already


CASES = (
    Case("bios", Kind.BIOS, "BIOS, iPXE of the ROM gets the script"),
    Case("chain", Kind.BIOS, "BIOS, undionly is loaded first", chains=True),
    Case("uefi", Kind.UEFI, "UEFI, firmware → snponly by TFTP → script"),
)


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures. Both labs are up all the time; machines run one at a time, A B B A."""
    image = imagebuild.build(share("images") / "hello", cache=cache_dir(), progress=_say)
    ours: dict[str, list[float]] = {case.node: [] for case in CASES}
    theirs: dict[str, list[float]] = {case.node: [] for case in CASES}
    with ExitStack() as stack:
        lab, rival = _our_lab(stack), RivalLab(stack, image)
        for number in range(rounds):
            for case in CASES:
                rival.write_script(chains=case.chains)
                pairs = [(lab, ours), (rival.lab, theirs)]
                for where, taken in pairs if number % 2 == 0 else reversed(pairs):
                    taken[case.node].append(power_on_to_shell(where, case.node))
                pair = f"{ours[case.node][-1]:.2f} s, {PEER} {theirs[case.node][-1]:.2f} s"
                _say(f"round {number + 1}: {case.what}: {pair}")
    for case in CASES:
        peer = Peer(PEER, tuple(theirs[case.node]))
        yield Figure(f"power-on → shell: {case.what}", tuple(ours[case.node]), "s", GOAL, peer)
    # A site whose dnsmasq chains by rule pays for undionly where bootd by its default does not.
    peer = Peer(f"{PEER}, undionly", tuple(theirs["chain"]))
    yield Figure("power-on → shell: BIOS, each by its habit", tuple(ours["bios"]), "s", GOAL, peer)


def power_on_to_shell(lab: Lab, node: str) -> float:
    return power_on_until(lab, node, READY.partition(" ")[0])


def power_on_until(lab: Lab, node: str, marker: str) -> float:
    """Return the seconds from the button to *marker* on the console."""
    begun = time.perf_counter()
    lab.power_on(node)
    try:
        console = lab.console(node)
        while True:
            console.poll()
            if marker in console.text:
                return time.perf_counter() - begun
            if time.perf_counter() - begun > PATIENCE_S:
                raise TimeoutError(f"{node} did not boot:\n{console.tail()}")
            time.sleep(_LOOK_EVERY_S)
    finally:
        lab.power_off(node)


def _our_lab(stack: ExitStack) -> Lab:
    lab = _lab(stack, "bench-a")
    add_image(lab, "hello", cache=cache_dir(), say=_say)
    for case in CASES:
        lab.register(case.node, **({"ipxe": "chain"} if case.chains else {}))
    lab.bootd("boot", ",".join(case.node for case in CASES), "memory:hello")
    return lab


def _lab(stack: ExitStack, purpose: str) -> Lab:
    lab = stack.enter_context(Lab(f"{purpose}-{time.time_ns() % 100_000_007}"))
    for case in CASES:
        lab.add_node(NodeSpec(case.node, case.kind))
    return lab


class Rival:
    """dnsmasq (ProxyDHCP, TFTP) and nginx (HTTP) where bootd was in *lab*."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.lab.stop_bootd()
        folder = self.lab.run.path
        self._www, tftp = folder / "www", folder / "tftp"
        self._www.mkdir()
        tftp.mkdir()
        for loader in ("undionly.kpxe", "snponly.efi"):
            shutil.copyfile(LOADERS / loader, tftp / loader)
        self._serve("proxy", proxy_config(folder), ["dnsmasq", "--keep-in-foreground", "--conf-file={}"])
        self._serve("nginx", nginx_config(folder), ["nginx", "-c", "{}"])

    def _serve(self, name: str, config: str, argv: list[str]) -> None:
        """Start a server; the lab ends it with everything else that lives in its namespaces."""
        file = self.lab.run.path / f"{name}.conf"
        file.write_text(config)
        command = inside(self.lab.network.boot, [word.format(file) for word in argv])
        process, _ = processes.start(command, log=self.lab.log(name))
        time.sleep(1.0)
        if not process.alive:
            raise NotReady(self.lab.log(name).read_text())

    def give(self, script: str) -> None:
        """Have machines get *script* next."""
        (self._www / "boot.ipxe").write_text(script)


class RivalLab(Rival):
    """A lab of its own whose machines get a memory image."""

    def __init__(self, stack: ExitStack, image: BuiltImage) -> None:
        super().__init__(_lab(stack, "bench-b"))
        self._cmdline = image.cmdline
        shutil.copyfile(image.kernel, self._www / "vmlinuz")
        shutil.copyfile(image.initrds[0], self._www / "initrd.gz")

    def write_script(self, *, chains: bool) -> None:
        """Write the script that machines get next."""
        self.give(script(self._cmdline, chains=chains))


def script(cmdline: str, *, chains: bool) -> str:
    """Return a script that does what bootd's does; with *chains* a ROM's iPXE loads undionly first.

    The chip's name is the only sign by which the two can be told apart.
    """
    base = f"http://{BOOT_ADDRESS}"
    guard = f"""\
iseq ${{netX/chip}} undionly && goto ours ||
chain --autofree --replace tftp://{BOOT_ADDRESS}/undionly.kpxe
:ours
"""
    return f"""\
#!ipxe
{guard if chains else ""}kernel --name vmlinuz {base}/vmlinuz initrd=initrd.gz {cmdline}
initrd --name initrd.gz {base}/initrd.gz
boot
"""


def proxy_config(folder: Path) -> str:
    """Return dnsmasq's configuration beside the site's DHCP server: firmware gets iPXE, iPXE the script."""
    return f"""\
port=0
interface=eth0
bind-interfaces
dhcp-range=10.99.0.0,proxy,255.255.255.0
dhcp-leasefile={folder / "proxy.leases"}
log-dhcp
log-facility=-
user=root
enable-tftp
tftp-root={folder / "tftp"}
dhcp-match=set:ipxe,175
pxe-prompt="bench",0
pxe-service=tag:!ipxe,x86PC,"iPXE",undionly.kpxe
pxe-service=tag:!ipxe,BC_EFI,"iPXE",snponly.efi
pxe-service=tag:!ipxe,X86-64_EFI,"iPXE",snponly.efi
pxe-service=tag:ipxe,x86PC,"script",http://{BOOT_ADDRESS}/boot.ipxe
pxe-service=tag:ipxe,BC_EFI,"script",http://{BOOT_ADDRESS}/boot.ipxe
pxe-service=tag:ipxe,X86-64_EFI,"script",http://{BOOT_ADDRESS}/boot.ipxe
"""


def nginx_config(folder: Path) -> str:
    """Return nginx's configuration: one worker that sends files, and writes down that it did."""
    scratch = "\n".join(
        f"  {kind}_temp_path {folder}/nginx-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log {folder}/nginx-access.log;
  sendfile on;
  default_type application/octet-stream;
{scratch}
  server {{
    listen {BOOT_ADDRESS}:80;
    root {folder}/www;
  }}
}}
"""


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
