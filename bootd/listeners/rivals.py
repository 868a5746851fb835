"""Who holds a port: read from /proc, so that an error can name the program to stop."""

import os
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from sys import byteorder

_TCP_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Rival:
    """A process that holds a port. *pid* is None where we may not see whose the socket is."""

    pid: int | None
    name: str  # as `ps` shows it; "" with *pid*

    def __str__(self) -> str:
        if self.pid is None:
            return "another process (as root, bootd can say which)"
        return f"{self.name} (pid {self.pid})"


def find_rival(protocol: str, address: str, port: int, *, proc: Path = Path("/proc")) -> Rival | None:
    """Return who holds *port* (``udp`` or ``tcp``) where *address* would collide, None where nobody does."""
    inodes = set(_holders(proc / "net" / protocol, address, port))
    inodes |= set(_holders(proc / "net" / f"{protocol}6", address, port))
    if not inodes:
        return None
    return _owner(inodes, proc) or Rival(None, "")


def _holders(table: Path, address: str, port: int) -> list[str]:
    """Inodes of the sockets on *port* in a table of /proc/net."""
    try:
        rows = table.read_text().splitlines()[1:]
    except FileNotFoundError:  # no IPv6 here
        return []
    found = []
    for row in rows:
        fields = row.split()
        host, _, number = fields[1].partition(":")
        if table.name.startswith("tcp") and fields[3] != _TCP_LISTEN:
            continue
        if int(number, 16) == port and _collides(host, address):
            found.append(fields[9])
    return found


def _collides(host: str, address: str) -> bool:
    raw = bytes.fromhex(host)
    if not any(raw) or address in ("", "0.0.0.0"):
        return True
    return len(raw) == 4 and int.from_bytes(raw, byteorder) == int(IPv4Address(address))


def _owner(inodes: set[str], proc: Path) -> Rival | None:
    links = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.iterdir():
        if folder.name.isdigit() and _holds(folder / "fd", links):
            return Rival(int(folder.name), _comm(folder))
    return None


def _holds(folder: Path, links: set[str]) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(_link(entry) in links for entry in entries)
    except OSError:  # somebody else's process, or one that has just ended
        return False


def _link(entry: os.DirEntry[str]) -> str:
    try:
        return os.readlink(entry.path)  # noqa: PTH115 -- a Path apiece would be most of the cost
    except OSError:
        return ""


def _comm(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "unknown"
