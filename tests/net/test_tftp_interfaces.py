"""A server on two networks with one and the same address range: answers must leave as they came."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.namespace import need_root

TOP = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.root


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


class TwoNetworks:
    """Namespaces: a server with the legs ``a`` and ``b``, and a client at the far end of each."""

    def __init__(self, stack: ExitStack) -> None:
        tag = uuid.uuid4().hex[:6]
        self.server, self.clients = f"tftp-{tag}-s", {leg: f"tftp-{tag}-{leg}" for leg in "ab"}
        for name in (self.server, *self.clients.values()):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        for sysctl in ("all", "default"):
            self.run(self.server, "sysctl", "-qw", f"net.ipv4.conf.{sysctl}.rp_filter=0")
        for number, (leg, client) in enumerate(self.clients.items(), start=1):
            ends = ("type", "veth", "peer", "name", "e0", "netns", client)
            ip("link", "add", "name", f"leg-{leg}", "netns", self.server, *ends)
            self.up(self.server, f"leg-{leg}", f"10.9.0.{number}/24")
            self.up(client, "e0", f"10.9.0.1{number}/24")

    def up(self, namespace: str, device: str, address: str) -> None:
        ip("-n", namespace, "addr", "add", address, "dev", device)
        ip("-n", namespace, "link", "set", device, "up")

    def run(self, namespace: str, *command: str) -> bytes:
        whole = ("ip", "netns", "exec", namespace, *command)
        return subprocess.run(whole, check=True, capture_output=True, timeout=60).stdout


@pytest.fixture
def networks() -> Iterator[TwoNetworks]:
    need_root()
    with ExitStack() as stack:
        yield TwoNetworks(stack)


@pytest.fixture
def served(networks: TwoNetworks, tmp_path: Path) -> Iterator[TwoNetworks]:
    (tmp_path / "loader").write_bytes(b"loader" * 1000)
    command = ("ip", "netns", "exec", networks.server, sys.executable, "-m", "tests.helpers.tftp_daemon")
    with subprocess.Popen(
        (*command, str(tmp_path)), cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield networks
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("leg", ["a", "b"])
def test_a_client_of_either_network_gets_its_file_and_its_refusals(served: TwoNetworks, leg: str) -> None:
    """The route to both clients is the one of leg ``a``; by it the clients of ``b`` would wait for ever."""
    number = "ab".index(leg) + 1
    url = f"tftp://10.9.0.{number}/loader"
    command = ("curl", "-sS", "--max-time", "20", "--tftp-blksize", "1432")
    assert served.run(served.clients[leg], *command, url) == b"loader" * 1000
    with pytest.raises(subprocess.CalledProcessError) as caught:
        served.run(served.clients[leg], *command, f"tftp://10.9.0.{number}/missing")
    assert caught.value.returncode == 68  # curl: TFTP file not found
