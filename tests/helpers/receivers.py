"""Real receivers of images: udp-receiver, each in a namespace of its own."""

import signal
import subprocess
from pathlib import Path

from bootd.drivers.transport import Channel
from tests.helpers.segment import Segment


class UdpReceivers:
    """Each keeps what it gets in a file of *folder*; *dying* ones end themselves once they have so much."""

    def __init__(self, network: Segment, folder: Path) -> None:
        self._network, self._folder = network, folder
        self._running: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        self.dying: dict[str, int] = {}  # node -> octets after which it falls silent

    def start(
        self, session: str, node: str, channel: Channel, *, wait_s: int = 60, keep: bool = True
    ) -> None:
        """Have it wait for its sender; without *keep* what it gets goes nowhere."""
        if (session, node) in self._running:
            return
        path = str(self._path(session, node)) if keep else "/dev/null"
        with self._path(session, node).with_suffix(".log").open("wb") as log:
            argv = [
                *("udp-receiver", "--nokbd", "--nosync", "--no-progress", "--interface", "eth0"),
                *("--portbase", str(channel.port), "--mcast-rdv-address", channel.address),
                *("--file", path, "--receive-timeout", str(wait_s)),
            ]
            whole = self._network.nodes[node].command(*argv)
            process = subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running[session, node] = process

    def look(self) -> None:
        """Have those fall silent that are to."""
        for (session, node), process in self._running.items():
            path = self._path(session, node)
            if node in self.dying and path.exists() and path.stat().st_size >= self.dying[node]:
                process.send_signal(signal.SIGKILL)

    def kill(self, session: str, node: str) -> None:
        self._running[session, node].kill()
        self._running[session, node].wait()  # its port is free again

    def wait(self, session: str, node: str) -> int:
        """Return how it ended."""
        return self._running[session, node].wait(60)

    def has_ended(self, session: str, node: str) -> bool:
        return self._running[session, node].poll() is not None

    def received(self, session: str, node: str) -> bytes:
        self.wait(session, node)
        return self._path(session, node).read_bytes()

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def _path(self, session: str, node: str) -> Path:
        return self._folder / f"{session}-{node}"
