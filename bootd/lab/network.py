"""The lab's network: three namespaces and a bridge that only they know.

``lan`` holds the bridge and a tap for each machine, ``site`` the site's DHCP
server, ``boot`` bootd. Each lab has its own three, so all labs use the same addresses.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bootd.lab import needs
from bootd.lab.errors import LabError

SITE_ADDRESS = "10.99.0.1"
BOOT_ADDRESS = "10.99.0.2"
PREFIX_LENGTH = 24
RANGE = ("10.99.0.100", "10.99.0.200")
SITE_ADDRESS6 = "fd99::1"
_ROOMS = ("lan", "site", "boot")
_NAMESPACES = Path("/run/netns")


class Network:
    """The namespaces of the lab *name*."""

    def __init__(self, name: str) -> None:
        self.lan, self.site, self.boot = (f"bootd-{name}-{room}" for room in _ROOMS)

    @property
    def namespaces(self) -> tuple[str, str, str]:
        return self.lan, self.site, self.boot

    @property
    def exists(self) -> bool:
        return any((_NAMESPACES / name).exists() for name in self.namespaces)

    def up(self) -> None:
        """Make the namespaces, the bridge and the two servers' legs."""
        for namespace in self.namespaces:
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        # no spanning tree: a port that learns for 30 s would eat the ROM's first questions
        _ip("-n", self.lan, "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        _ip("-n", self.lan, "link", "set", "br0", "up")
        for leg, namespace in (("v-site", self.site), ("v-boot", self.boot)):
            peer = ("peer", "name", "eth0", "netns", namespace)
            _ip("link", "add", leg, "netns", self.lan, "type", "veth", *peer)
            _ip("-n", self.lan, "link", "set", leg, "master", "br0", "up")
            _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", self.site, "addr", "add", f"{SITE_ADDRESS}/{PREFIX_LENGTH}", "dev", "eth0")
        # nodad: the server announces itself at once instead of listening for a second first
        _ip("-n", self.site, "addr", "add", f"{SITE_ADDRESS6}/64", "dev", "eth0", "nodad")
        _ip("-n", self.boot, "addr", "add", f"{BOOT_ADDRESS}/{PREFIX_LENGTH}", "dev", "eth0")

    def add_tap(self, name: str) -> None:
        """Plug a new machine's cable into the bridge."""
        _ip("-n", self.lan, "tuntap", "add", "dev", name, "mode", "tap")
        _ip("-n", self.lan, "link", "set", name, "master", "br0", "up")

    def lose(self, percent: float) -> None:
        """Drop *percent* of all frames that cross the bridge, in either direction."""
        _run(["nft", "-f", "-"], self.lan, loss_rules(percent))

    def down(self) -> None:
        """Remove the namespaces and with them every interface; what is not there is no mistake."""
        for namespace in self.namespaces:
            if (_NAMESPACES / namespace).exists():
                _ip("netns", "del", namespace)

    def inhabitants(self) -> list[int]:
        """Return the pids that live in the lab's namespaces: all of them were started by the lab."""
        found: list[int] = []
        for namespace in self.namespaces:
            if (_NAMESPACES / namespace).exists():
                found += map(int, _ip("netns", "pids", namespace).split())
        return found


def inside(namespace: str, argv: Sequence[str]) -> list[str]:
    """Return the command that runs *argv* in *namespace*; it keeps the pid it is started with."""
    return ["ip", "netns", "exec", namespace, *argv]


def loss_rules(percent: float) -> str:
    """Return the nftables rules; one-line forms of them are refused, so newlines matter."""
    per_mille = round(percent * 10)
    return f"""\
table bridge loss {{
  chain forward {{
    type filter hook forward priority 0
    numgen random mod 1000 < {per_mille} drop
  }}
}}
"""


def _ip(*arguments: str) -> str:
    return _run(["ip", *arguments])


def _run(argv: Sequence[str], namespace: str = "", text: str | None = None) -> str:
    command = inside(namespace, argv) if namespace else list(argv)
    done = subprocess.run(
        command, input=text, env=needs.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout
