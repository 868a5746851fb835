"""A switched network of namespaces: a sender and receivers, with links as fast and as lossy as one likes."""

import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.helpers.namespace import Namespace, need_root

SENDER = "10.98.0.1"
_TABLE = """
table bridge lossy {{
    chain pass {{
        type filter hook forward priority 0
        numgen random mod 100 < {percent} drop
    }}
}}
"""


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


class Segment:
    """The namespaces ``sender`` and ``nodes[name]``; every card is ``eth0``. All hang on one bridge.

    *mbit* is what each link carries either way; *loss* is the percentage of packets that the bridge drops.
    """

    def __init__(self, stack: ExitStack, nodes: Sequence[str], mbit: int = 0, loss: int = 0) -> None:
        self._tag = f"bootd-{uuid.uuid4().hex[:6]}"
        self._stack, self._mbit = stack, mbit
        self._switch = self._namespace("switch")
        _ip("-n", self._switch, "link", "add", "name", "br0", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "br0", "up")
        self.sender = self._join("sender", "p0", SENDER)
        self.nodes = {node: self._join(node, f"p{n}", f"10.98.0.{n + 1}") for n, node in enumerate(nodes, 1)}
        self.names = {namespace.address: node for node, namespace in self.nodes.items()}
        if loss:
            argv = ["ip", "netns", "exec", self._switch, "nft", "-f", "-"]
            subprocess.run(argv, input=_TABLE.format(percent=loss), text=True, check=True)

    def whose(self, address: str) -> str:
        """Return the name of the node with *address*, "" for others."""
        return self.names.get(address, "")

    def _namespace(self, word: str) -> str:
        name = f"{self._tag}-{word}"
        _ip("netns", "add", name)
        self._stack.callback(_ip, "netns", "del", name)
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def _join(self, word: str, port: str, address: str) -> Namespace:
        name = self._namespace(word)
        ends = ("type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "add", "name", port, "netns", self._switch, *ends)
        _ip("-n", self._switch, "link", "set", port, "master", "br0", "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "brd", "+", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        if self._mbit:
            bound = ("root", "tbf", "rate", f"{self._mbit}mbit", "burst", "256k", "limit", "4m")
            for inside, device in ((name, "eth0"), (self._switch, port)):
                subprocess.run(["tc", "-n", inside, "qdisc", "add", "dev", device, *bound], check=True)
        return Namespace(name, address)


@contextmanager
def segment(nodes: Sequence[str], *, mbit: int = 0, loss: int = 0) -> Iterator[Segment]:
    """Make a network with *nodes*, and remove it whatever happens."""
    need_root()
    with ExitStack() as stack:
        yield Segment(stack, nodes, mbit, loss)
