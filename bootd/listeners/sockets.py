"""UDP sockets that know by which interface a datagram came, and answer by the same one."""

import array
import asyncio
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from bootd.errors import BootdError
from bootd.listeners.rivals import Rival, find_rival

Address = tuple[str, int]

RECEIVE_BUFFER = 4 << 20  # octets: a room full of machines switched on at once; the default holds 256 packets
DRAIN_MAX = 64  # datagrams in one wake, so that other sockets get their turn
_DATAGRAM_MAX = 2048  # octets; no request of ours is longer than one Ethernet frame
_PKTINFO = struct.Struct("=I4s4s")  # struct in_pktinfo: interface, local address, destination of the header
_ANCILLARY = socket.CMSG_SPACE(_PKTINFO.size)
_IP_PKTINFO = 8  # linux/in.h; Python names it from 3.14 on
_IP_UNICAST_IF = 50  # linux/in.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_IFREQ = 40  # octets of a struct ifreq where a pointer has eight
_SIOCGIFCONF, _SIOCGIFMTU = 0x8912, 0x8921
_UDP_SEGMENT = 103  # linux/udp.h
_SEGMENTS_MAX = 44  # datagrams in one call; 64 is the kernel's limit, and 65,507 octets
_OCTETS_MAX = 65507


class PortTaken(BootdError):
    """The port belongs to another process."""

    code = "port-taken"

    def __init__(self, protocol: str, address: str, port: int, rival: Rival | None) -> None:
        who = f"held by {rival}" if rival else "in use"
        super().__init__(
            f"{protocol.upper()} port {port} on {address or 'all addresses'} is {who}: "
            "stop that program or give bootd another port or address"
        )
        self.protocol, self.address, self.port, self.rival = protocol, address, port, rival


class NotPermitted(BootdError):
    """The system does not let us have the port."""

    code = "not-permitted"

    def __init__(self, protocol: str, port: int) -> None:
        super().__init__(
            f"no permission for {protocol.upper()} port {port}: start bootd as root, grant it "
            "CAP_NET_BIND_SERVICE, or configure a port above 1023"
        )
        self.protocol, self.port = protocol, port


class AddressMissing(BootdError):
    """No interface has the address to listen on."""

    code = "address-missing"

    def __init__(self, address: str) -> None:
        have = ", ".join(f"{i.address} ({i.name})" for i in interfaces()) or "none"
        super().__init__(f"no interface has the address {address}; this machine has: {have}")
        self.address = address


@dataclass(frozen=True, slots=True)
class Interface:
    """An IPv4 address of this machine; an interface with two has two rows."""

    index: int
    name: str
    address: str
    mtu: int  # octets of IP in one frame


@dataclass(frozen=True, slots=True)
class Datagram:
    """What came in, and how."""

    data: bytes
    source: Address
    interface: int  # index
    local: str  # our address on that interface: what to answer from
    destination: str  # as sent: *local*, or a broadcast address


def interfaces() -> tuple[Interface, ...]:
    """Return every interface that has an IPv4 address, loopback included."""
    room = array.array("B", bytes(_IFREQ * 1024))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("iP", len(room), room.buffer_info()[0])
        used = struct.unpack("iP", fcntl.ioctl(probe, _SIOCGIFCONF, request))[0]
    rows = room.tobytes()[:used]
    found = []
    for start in range(0, used, _IFREQ):
        label = rows[start : start + 16].partition(b"\0")[0].decode()
        name = label.partition(":")[0]  # eth0:1 is a second address of eth0
        try:
            index = socket.if_nametoindex(name)
        except OSError:  # gone since it was listed
            continue
        address = socket.inet_ntoa(rows[start + 20 : start + 24])
        found.append(Interface(index, name, address, mtu_of(index)))
    return tuple(found)


def mtu_of(index: int) -> int:
    """Return the MTU of an interface in octets; 1500 where it is gone or unknown."""
    try:
        request = struct.pack("16s24x", socket.if_indextoname(index).encode())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            return int(struct.unpack_from("i", fcntl.ioctl(probe, _SIOCGIFMTU, request), 16)[0])
    except OSError:
        return 1500


def open_udp(
    address: str, port: int, *, device: str = "", receive_buffer: int = RECEIVE_BUFFER
) -> socket.socket:
    """Return a non-blocking UDP socket on *address* (``""``: all) that may broadcast and tells the interface.

    Without SO_REUSEADDR: two programs that both set it would share the port in
    silence, each hearing a part. Raises `PortTaken`, `NotPermitted`, `AddressMissing`.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        _set_receive_buffer(sock, receive_buffer)
        _bind(sock, "udp", address, port, device)
    except BaseException:
        sock.close()
        raise
    return sock


def open_tcp(address: str, port: int, *, device: str = "", backlog: int = 1024) -> socket.socket:
    """Return a listening TCP socket; raises as `open_udp` does."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # For TCP this frees a port whose old connections linger; it does not let two programs listen.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(sock, "tcp", address, port, device)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise _explained(error, "tcp", address, port) from error
    except BaseException:
        sock.close()
        raise
    return sock


def receive_buffer_of(sock: socket.socket) -> int:
    """Return what the kernel granted, in octets; it counts its own overhead too, about 800 per packet."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def drain(sock: socket.socket, limit: int = DRAIN_MAX) -> list[Datagram]:
    """Return the datagrams waiting in *sock*, at most *limit*."""
    found: list[Datagram] = []
    while len(found) < limit:
        try:
            data, ancillary, _, source = sock.recvmsg(_DATAGRAM_MAX, _ANCILLARY)
        except BlockingIOError:
            break
        except ConnectionRefusedError:  # ICMP about something we sent earlier
            continue
        found.append(_datagram(data, ancillary, source))
    return found


def send(sock: socket.socket, data: bytes, to: Address, *, interface: int = 0, local: str = "") -> None:
    """Send *data* by *interface* (index; 0: as routed) from the address *local* ("": as bound or routed).

    A broadcast needs the interface: without it the kernel picks the default route's.
    Raises `OSError`.
    """
    info = _PKTINFO.pack(interface, socket.inet_aton(local or "0.0.0.0"), bytes(4))
    sock.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, to)


def open_reply_socket(local: str, interface: int) -> socket.socket:
    """Return a socket on a port of its own that sends from *local* by *interface*; raises `OSError`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if interface:
            sock.setsockopt(socket.IPPROTO_IP, _IP_UNICAST_IF, struct.pack("!I", interface))
        sock.bind((local, 0))
    except BaseException:
        sock.close()
        raise
    return sock


class Segmentation:
    """UDP segmentation offload (UDP_SEGMENT): one call for a whole window.

    Some cards and virtual ones answer EIO (no checksum offload), some EINVAL, a route
    with a smaller MTU EMSGSIZE. The first such answer turns it off for this object's life.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled

    def send(self, sock: socket.socket, datagrams: list[bytes], to: Address) -> None:
        """Send *datagrams*, all but the last of one length, in order; raises `OSError`."""
        if len(datagrams) == 1 or not self.enabled:
            _one_by_one(sock, datagrams, to)
            return
        size = len(datagrams[0])
        step = min(_SEGMENTS_MAX, _OCTETS_MAX // size) or 1
        for start in range(0, len(datagrams), step):
            self._send_batch(sock, datagrams[start : start + step], size, to)

    def _send_batch(self, sock: socket.socket, batch: list[bytes], size: int, to: Address) -> None:
        if len(batch) == 1 or not self.enabled:
            _one_by_one(sock, batch, to)
            return
        try:
            sock.sendmsg(batch, [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", size))], 0, to)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EINVAL, errno.EMSGSIZE):
                raise
            self.enabled = False
            _one_by_one(sock, batch, to)


class UdpEndpoint:
    """An open socket read by the event loop: each wake drains it into *receive*.

    *receive* must not raise, nor wait: a packet handler owes the loop its next turn.
    """

    def __init__(self, sock: socket.socket, receive: Callable[[Datagram], None]) -> None:
        self.sock = sock
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._wake)

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    def send(self, data: bytes, to: Address, *, interface: int = 0, local: str = "") -> None:
        """See `send`."""
        send(self.sock, data, to, interface=interface, local=local)

    def close(self) -> None:
        """Stop reading and give the port back."""
        self._loop.remove_reader(self.sock)
        self.sock.close()

    def _wake(self) -> None:
        for datagram in drain(self.sock):
            self._receive(datagram)


class Crowd:
    """Many short-lived sockets behind one epoll, which is all the event loop sees.

    The loop makes a handle and enters a context for each socket that is ready; with a
    transfer per machine that costs as much as the transfers do.
    """

    def __init__(self) -> None:
        self._callbacks: dict[int, Callable[[], None]] = {}  # by descriptor
        self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._wake)

    def add(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        """Call *callback* whenever *sock* can be read; it must not raise."""
        self._callbacks[sock.fileno()] = callback
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """Forget *sock*, which is still open."""
        self._epoll.unregister(sock.fileno())
        del self._callbacks[sock.fileno()]

    def close(self) -> None:
        """Take the epoll from the loop; the sockets stay their owners'."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _wake(self) -> None:
        for descriptor, _ in self._epoll.poll(0, DRAIN_MAX):
            callback = self._callbacks.get(descriptor)
            if callback is not None:  # else one called before it has closed it
                callback()


def _one_by_one(sock: socket.socket, datagrams: list[bytes], to: Address) -> None:
    for datagram in datagrams:
        sock.sendto(datagram, to)


def _datagram(data: bytes, ancillary: list[tuple[int, int, bytes]], source: Address) -> Datagram:
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            index, local, destination = _PKTINFO.unpack(value)
            return Datagram(data, source, index, socket.inet_ntoa(local), socket.inet_ntoa(destination))
    return Datagram(data, source, 0, "0.0.0.0", "0.0.0.0")


def _set_receive_buffer(sock: socket.socket, octets: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, octets)
    except PermissionError:  # not root: as much as net.core.rmem_max allows
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def _bind(sock: socket.socket, protocol: str, address: str, port: int, device: str) -> None:
    try:
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind((address, port))
    except OSError as error:
        raise _explained(error, protocol, address, port) from error


def _explained(error: OSError, protocol: str, address: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(protocol, address, port, find_rival(protocol, address, port))
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(protocol, port)
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressMissing(address)
    return OSError(error.errno, f"{os.strerror(error.errno or 0)} ({protocol} {address}:{port})")
