"""The ports of the daemon: all taken before privileges are dropped, all given back at the end."""

import fcntl
import os
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bootd.config import Config
from bootd.errors import BootdError
from bootd.listeners.reach import Reach
from bootd.listeners.sockets import open_tcp, open_udp
from bootd.services.feed import open_poke_socket
from netboot.dhcp.pxe import BOOT_SERVER_PORT, DHCP_PORT


@dataclass(frozen=True, slots=True)
class Sockets:
    """What was bound."""

    dhcp: dict[int, socket.socket]  # by port
    http: list[socket.socket]
    admin: list[socket.socket]
    poke: socket.socket


class FolderTaken(BootdError):
    """Another daemon serves from this data folder: each would take the other's sockets in it away."""

    code = "folder-taken"

    def __init__(self, data_dir: Path, pid: str) -> None:
        who = f"another bootd (pid {pid})" if pid else "another bootd"
        super().__init__(f"{who} serves from {data_dir}: stop it, or set another server.data_dir")
        self.data_dir, self.pid = data_dir, pid


def hold(data_dir: Path, stack: AsyncExitStack) -> None:
    """Have *data_dir* for ourselves until *stack* is closed or the process ends; raises `FolderTaken`."""
    # another file than the folder itself: its lock is for moments
    descriptor = os.open(data_dir / "bootd.pid", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderTaken(data_dir, os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def bind(config: Config, reach: Reach, stack: AsyncExitStack) -> Sockets:
    """Bind what *config* asks for, but TFTP; *stack* closes it, also where a later port fails.

    Raises `PortTaken` and `NotPermitted`.
    """

    def kept(sock: socket.socket) -> socket.socket:
        stack.callback(sock.close)
        return sock

    ports = (DHCP_PORT, BOOT_SERVER_PORT) if config["dhcp.mode"] != "off" else ()
    poke = config.data_dir / "poke.sock"
    bound = Sockets(
        dhcp={port: kept(open_udp("", port)) for port in ports},
        http=[kept(open_tcp(address, config["http.port"])) for address in _http_addresses(config, reach)],
        admin=[kept(_open_admin(endpoint)) for endpoint in config["http.admin.listen"]],
        poke=kept(open_poke_socket(poke)),
    )
    stack.callback(poke.unlink, missing_ok=True)
    return bound


def _http_addresses(config: Config, reach: Reach) -> list[str]:
    """Return where HTTP listens: everywhere, or on the named interfaces and, for health checks, here."""
    if not config["server.interfaces"]:
        return [""]
    return sorted({"127.0.0.1", *(i.address for i in reach.served)})


def _open_admin(endpoint: str) -> socket.socket:
    address, _, port = endpoint.rpartition(":")
    return open_tcp(address, int(port))
