"""A real DHCP client (busybox's udhcpc) gets, renews and loses its address, near and behind a relay."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from netboot.dhcp.packet import DhcpPacket, MessageType, decode_packet, encode_packet
from tests.helpers.lan import FAR_ROUTER, ROUTER, SERVER, Lan, lan
from tests.helpers.leases import a_lease_packet
from tests.helpers.service import PATIENCE_S, Service

pytestmark = pytest.mark.root

CONFIG = """\
[dhcp]
mode = "authoritative"
[dhcp.subnets.near]
network = "10.99.0.0/24"
router = "10.99.0.9"
dns = ["10.99.0.9", "9.9.9.9"]
domain = "lab.example"
lease = 600
[dhcp.subnets.far]
network = "10.77.0.0/24"
router = "10.77.0.1"
"""
SCRIPT = """\
#!/bin/sh
echo "$1 ${ip:--} ${mask:--} ${router:--} ${dns:--}" \\
    "${domain:--} ${hostname:--} ${lease:--} ${serverid:--}" >> "$LOG"
case "$1" in
deconfig) ip addr flush dev "$interface" ;;
bound|renew)
    ip addr replace "$ip/$mask" dev "$interface"
    [ -z "$router" ] || ip route replace default via "$router" ;;
esac
"""


class Client:
    """A running udhcpc and what it told its script."""

    def __init__(self, log: Path, process: "subprocess.Popen[bytes]") -> None:
        self._log, self._process = log, process

    def told(self, what: str, times: int = 1) -> list[str]:
        """Return the words of the last *what*, once there have been so many."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            lines = [line.split() for line in self._log.read_text().splitlines()]
            found = [words for words in lines if words[0] == what]
            if len(found) >= times:
                return found[-1][1:]
            assert self._process.poll() is None, lines
            time.sleep(0.02)
        raise AssertionError(f"udhcpc never said {what}: {self._log.read_text()}")

    @property
    def was_refused(self) -> bool:
        return "nak" in self._log.read_text()

    def given_up(self) -> bool:
        """Wait for its end; tell whether it heard nothing."""
        assert self._process.wait(PATIENCE_S) == 1
        return all(line.startswith(("deconfig", "leasefail")) for line in self._log.read_text().splitlines())

    def renew(self) -> None:
        self._process.send_signal(signal.SIGUSR1)

    def release(self) -> None:
        self._process.send_signal(signal.SIGUSR2)


@pytest.fixture
def network() -> Iterator[Lan]:
    with lan() as made:
        yield made


@pytest.fixture
def service(network: Lan, tmp_path: Path) -> Service:
    made = Service(network.server, tmp_path, CONFIG)
    made.config.write_text(made.config.read_text().replace('["lo"]', '["e0"]'))
    return made


@contextmanager
def udhcpc(network: Lan, where: str, folder: Path, *words: str) -> Iterator[Client]:
    script, log = folder / "script", folder / f"{where}.log"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    log.touch()
    argv = ["busybox", "udhcpc", "-f", "-i", "e0", "-s", str(script), "-A", "1", "-T", "1", *words]
    process = subprocess.Popen(
        network.command(where, "env", f"LOG={log}", *argv),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Client(log, process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def dnsmasq(network: Lan, log: Path, *words: str) -> Iterator[None]:
    """Run dnsmasq on the router with *words*, and no DNS."""
    argv = [
        "dnsmasq",
        "--keep-in-foreground",
        "--port=0",
        "--conf-file=/dev/null",
        "--bind-dynamic",
        "--user=root",
    ]
    argv += ["--pid-file=", "--log-facility=-", *words]
    with log.open("wb") as said:
        process = subprocess.Popen(network.command("router", *argv), stderr=said, stdout=said)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def relaying(network: Lan, folder: Path) -> AbstractContextManager[None]:
    """Run dnsmasq as a relay agent and nothing else."""
    return dnsmasq(network, folder / "relay.log", f"--dhcp-relay={FAR_ROUTER},{SERVER}", "--interface=e1")


def test_client_gets_renews_and_loses_its_address(network: Lan, service: Service, tmp_path: Path) -> None:
    service.bootd("hosts", "add", "node1", "--mac", network.mac("near"), "--ip", "10.99.0.11")
    with service.serve(), udhcpc(network, "near", tmp_path) as client:
        want = ["10.99.0.11", "24", ROUTER, ROUTER, "9.9.9.9", "lab.example", "node1", "600", SERVER]
        assert client.told("bound") == want
        client.renew()
        assert client.told("renew") == want
        service.bootd("hosts", "set", "node1", "--ip", "10.99.0.12")
        client.renew()
        client.told("nak")
        assert client.told("bound", times=2)[0] == "10.99.0.12"
        client.release()
        client.told("deconfig", times=3)
        client.renew()  # asks anew
        assert client.told("bound", times=3)[0] == "10.99.0.12"
        trace = service.bootd("trace", "node1")
        for said in ("(selecting)", "(renewing)", "was refused it: not-its-address"):
            assert said in trace


def test_client_keeps_its_address_over_a_restart_of_the_server(
    network: Lan, service: Service, tmp_path: Path
) -> None:
    service.bootd("hosts", "add", "node1", "--mac", network.mac("near"), "--ip", "10.99.0.11")
    with udhcpc(network, "near", tmp_path) as client:
        with service.serve():
            assert client.told("bound")[0] == "10.99.0.11"
        with service.serve():
            client.renew()
            assert client.told("renew")[0] == "10.99.0.11"


def test_client_behind_a_relay_gets_the_address_and_router_of_its_network(
    network: Lan, service: Service, tmp_path: Path
) -> None:
    service.bootd("hosts", "add", "node2", "--mac", network.mac("far"), "--ip", "10.77.0.11")
    with service.serve(), relaying(network, tmp_path), udhcpc(network, "far", tmp_path) as client:
        assert client.told("bound")[:3] == ["10.77.0.11", "24", FAR_ROUTER]
        client.renew()  # straight to the server, past the relay
        assert client.told("renew")[0] == "10.77.0.11"
        service.bootd("hosts", "set", "node2", "--ip", "10.77.0.12")
        client.renew()
        assert client.told("bound", times=2)[0] == "10.77.0.12"


def test_clients_that_are_not_ours_are_left_alone_and_the_table_is_complained_about(
    network: Lan, service: Service, tmp_path: Path
) -> None:
    service.bootd("hosts", "add", "node2", "--mac", network.mac("far"), "--ip", "10.77.0.11")
    service.bootd("hosts", "add", "node3", "--mac", "52:54:00:00:00:03", "--ip", "10.1.1.1")
    with service.serve():
        assert service.get("/readyz")[0] == 503
        assert b"node3: its address 10.1.1.1" in service.get("/readyz")[1]
        with udhcpc(network, "near", tmp_path, "-n", "-t", "2") as client:
            assert client.given_up()
        service.bootd("hosts", "set", "node3", "--ip", "10.99.0.13")
        deadline = time.monotonic() + PATIENCE_S
        while b"node3" in service.get("/readyz")[1]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def relayed(kind: MessageType, mac: str, **options: bytes) -> bytes:
    """Return what a relay agent in the far network passes on, with its option 82."""
    said: dict[int, bytes | None] = {int(name[1:]): value for name, value in options.items()}
    chaddr = bytes.fromhex(mac.replace(":", "")) + bytes(10)
    giaddr = socket.inet_aton(FAR_ROUTER)
    packet = a_lease_packet(kind, options=said | {82: b"\x01\x04eth7"}, chaddr=chaddr, giaddr=giaddr, hops=1)
    return encode_packet(packet)


def asked_by_relay(network: Lan, *questions: bytes) -> list[DhcpPacket | None]:
    """Send *questions* as the relay does; return the reply to each, None for silence."""

    def ask() -> list[DhcpPacket | None]:
        replies: list[DhcpPacket | None] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
            agent.bind((FAR_ROUTER, 67))
            agent.settimeout(2)
            for question in questions:
                agent.sendto(question, (SERVER, 67))
                try:
                    reply, source = agent.recvfrom(2048)
                except TimeoutError:
                    replies.append(None)
                else:
                    assert source == (SERVER, 67)
                    assert reply.rstrip(b"\0").endswith(b"\x52\x06\x01\x04eth7\xff")
                    replies.append(decode_packet(reply))
        return replies

    return network.router.run(ask)


def test_relay_is_answered_on_the_server_port_with_its_option_82_last(network: Lan, service: Service) -> None:
    mac = "52:54:00:00:00:01"
    service.bootd("hosts", "add", "node1", "--mac", mac, "--ip", "10.77.0.11")
    with service.serve():
        offer, refusal, other, stranger = asked_by_relay(
            network,
            relayed(MessageType.DISCOVER, mac),
            relayed(MessageType.REQUEST, mac, o50=socket.inet_aton("10.99.0.11")),
            relayed(
                MessageType.REQUEST, mac, o50=socket.inet_aton("10.77.0.99"), o54=socket.inet_aton(ROUTER)
            ),
            relayed(MessageType.REQUEST, "52:54:00:00:00:99", o50=socket.inet_aton("10.77.0.11")),
        )
    assert offer is not None
    assert (offer.message_type, offer.yiaddr) == (MessageType.OFFER, socket.inet_aton("10.77.0.11"))
    assert refusal is not None
    assert (refusal.message_type, refusal.flags) == (MessageType.NAK, 0x8000)
    assert (other, stranger) == (None, None)


def test_other_dhcp_server_goes_on_serving_the_machines_that_are_not_ours(
    network: Lan, service: Service, tmp_path: Path
) -> None:
    words = (
        *("--dhcp-range=10.99.0.100,10.99.0.150,255.255.255.0,600", "--interface=e0", "--no-ping"),
        f"--dhcp-leasefile={tmp_path / 'leases'}",
    )
    with (
        service.serve(),
        dnsmasq(network, tmp_path / "other.log", *words),
        udhcpc(network, "near", tmp_path) as client,
    ):
        address = client.told("bound")[0]
        assert address.startswith("10.99.0.1")
        client.renew()
        assert client.told("renew")[0] == address
        assert not client.was_refused
