"""A network of namespaces: a server, a client beside it, and one behind a router that relays DHCP."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.helpers.namespace import Namespace, need_root

SERVER, ROUTER, FAR_ROUTER = "10.99.0.2", "10.99.0.9", "10.77.0.1"


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


class Lan:
    """``server``, and the clients ``near`` and ``far``, whose cards are ``e0`` and have no address yet."""

    def __init__(self, stack: ExitStack) -> None:
        tag = f"bootd-{uuid.uuid4().hex[:6]}"
        self._names = {word: f"{tag}-{word}" for word in ("switch", "server", "near", "router", "far")}
        for name in self._names.values():
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        switch, far = self._names["switch"], self._names["far"]
        ip(
            "-n",
            switch,
            "link",
            "add",
            "name",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "0",
            "forward_delay",
            "0",
        )
        ip("-n", switch, "link", "set", "br0", "up")
        for word in ("server", "near", "router"):
            ends = ("type", "veth", "peer", "name", "e0", "netns", self._names[word])
            ip("link", "add", "name", word, "netns", switch, *ends)
            ip("-n", switch, "link", "set", word, "master", "br0", "up")
        ends = ("type", "veth", "peer", "name", "e0", "netns", far)
        ip("link", "add", "name", "e1", "netns", self._names["router"], *ends)
        self.server = self._address("server", "e0", SERVER)
        self.router = self._address("router", "e0", ROUTER)
        self._address("router", "e1", FAR_ROUTER)
        ip("-n", self._names["server"], "route", "add", "10.77.0.0/24", "via", ROUTER)
        self.run("router", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for word in ("near", "far"):
            ip("-n", self._names[word], "link", "set", "e0", "up")

    def _address(self, word: str, device: str, address: str) -> Namespace:
        ip("-n", self._names[word], "addr", "add", f"{address}/24", "dev", device)
        ip("-n", self._names[word], "link", "set", device, "up")
        return Namespace(self._names[word], address)

    def command(self, word: str, *argv: str) -> list[str]:
        """Return *argv*, to be run in the namespace *word*."""
        return ["ip", "netns", "exec", self._names[word], *argv]

    def run(self, word: str, *argv: str) -> str:
        whole = self.command(word, *argv)
        return subprocess.run(whole, check=True, capture_output=True, timeout=60, text=True).stdout

    def mac(self, word: str) -> str:
        """Return the MAC address of the card of a client."""
        return self.run(word, "cat", "/sys/class/net/e0/address").strip()


@contextmanager
def lan() -> Iterator[Lan]:
    need_root()
    with ExitStack() as stack:
        yield Lan(stack)
