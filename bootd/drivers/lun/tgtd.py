"""Orders to tgtd, the target daemon of the Linux SCSI target framework, over its management socket.

Not by tgtadm: that takes CHAP secrets as arguments, which everybody on the machine can
read in the list of processes. What tgtadm says is said here: a C structure of this
machine's byte order (usr/tgtadm.h of tgt, unchanged from 1.0.27 on; seen with 1.0.85),
then words; the answer is a number, or the same text that ``tgtadm --op show`` prints.
"""

import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from bootd.drivers.lun.base import LunRefused, LunUnreachable
from bootd.drivers.lun.broker import (
    ACCOUNT,
    BIND,
    CONNECTION,
    DELETE,
    DRIVER,
    LUN,
    NEW,
    NO_LUN,
    PORTAL,
    REQUEST,
    SHOW,
    STATS,
    TARGET,
    TIMEOUT,
    UNBIND,
    UNIT,
)
from bootd.drivers.lun.brokered import Way, direct, is_root, unreached

_ANSWER = struct.Struct("=II")  # error, length with these eight octets
_LONGEST = 64 << 20  # octets of an answer: some hundred thousand targets
_ALL = -1  # tid: no target in particular


def socket_path(control_port: int = 0, path: Path | None = None) -> str:
    """Return where tgtd's management socket is; the variable is tgtd's and tgtadm's own."""
    return f"{path or os.environ.get('TGT_IPC_SOCKET') or '/run/tgtd/socket'}.{control_port}"


class Said(IntEnum):
    """tgtd's answers that mean something here (usr/tgtadm_error.h; met with 1.0.85)."""

    NO_TARGET = 4
    NO_SESSION = 6
    NO_CONNECTION = 7
    TARGET_EXISTS = 9
    LUN_EXISTS = 10
    NO_RULE = 13
    USER_EXISTS = 14
    NO_USER = 15
    TARGET_ACTIVE = 19
    LUN_ACTIVE = 20


_WORDS = {
    1: "something went wrong",
    2: "no memory is left",
    3: "there is no iSCSI driver",
    Said.NO_TARGET: "there is no such target",
    5: "there is no such logical unit",
    Said.NO_SESSION: "there is no such session",
    Said.NO_CONNECTION: "there is no such connection",
    Said.TARGET_EXISTS: "the target is there already",
    Said.LUN_EXISTS: "the logical unit is there already",
    12: "the access rule is there already",
    Said.NO_RULE: "there is no such access rule",
    Said.USER_EXISTS: "the account is there already",
    Said.NO_USER: "there is no such account",
    16: "the target has too many accounts",
    17: "the request is invalid",
    Said.TARGET_ACTIVE: "the target is in use",
    Said.LUN_ACTIVE: "the logical unit is in use",
    21: "that is not supported",
    22: "the parameter is not known",
}


class TgtdError(LunUnreachable):
    """tgtd answered, and not what was hoped for."""

    def __init__(self, said: int) -> None:
        super().__init__("", f"tgtd says: {_WORDS.get(said, f'error {said}')}")
        self.said = said


@contextmanager
def unless(*said: Said) -> Iterator[None]:
    """Pass over these answers: what was wanted is so already, or not yet to be had."""
    try:
        yield
    except TgtdError as error:
        if error.said not in said:
            raise


@dataclass(frozen=True, slots=True)
class Login:
    """A connection of an initiator that is logged in."""

    session: int
    connection: int
    initiator: str
    address: str

    def follows(self, other: "Login") -> bool:
        """Return whether it is a later one of the same machine: tgtd counts its sessions, modulo 2^16."""
        is_same = (self.initiator, self.address) == (other.initiator, other.address)
        return is_same and 0 < (self.session - other.session) % 0x10000 < 0x8000


@dataclass(slots=True)
class Target:
    """A target, as tgtd's listing has it.

    The listing is text, and has in it, as it came, the alias by which an initiator
    calls itself at login. A machine that may log in somewhere can write lines there
    that look like another target's: none must be believed that makes a difference
    before it was asked for by number, or done.
    """

    tid: int
    name: str
    path: str = ""  # of LUN 1's file; "" before it has one
    accounts: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)  # who may log in: initiators' names, addresses


class Tgtd:
    """One tgtd. Each order is one connection; any thread may give some."""

    def __init__(
        self, path: Path | None = None, control_port: int = 0, timeout: float = TIMEOUT, way: Way = direct
    ) -> None:
        self.path, self._way, self._timeout = socket_path(control_port, path), way, timeout

    # -- questions

    def targets(self) -> list[Target]:
        return parse_targets(self.ask(TARGET, SHOW))

    def logins(self, tid: int) -> list[Login]:
        """Return the connections to a target (NO_TARGET); initiators have their checked names alone here."""
        rows = _CONNECTION_ROWS.findall(self.ask(CONNECTION, SHOW, tid=tid))
        return [Login(int(session), int(connection), *who) for session, connection, *who in rows]

    def failed(self, tid: int) -> dict[int, int]:
        """Return how many commands of each session failed at the target's unit (NO_TARGET).

        Some always do: the first after a login, and questions that tgtd has no answer to.
        """
        rows = _STATS_ROWS.findall(self.ask(TARGET, STATS, tid=tid))
        return {int(session): int(count) for unit, session, count in rows if int(unit) == LUN}

    def portals(self) -> list[str]:
        """Return ``address:port`` of each portal; the address may be 0.0.0.0 or [::]."""
        return re.findall(r"^Portal: (\S+),\d+$", self.ask(PORTAL, SHOW), re.MULTILINE)

    # -- orders

    def new_target(self, tid: int, name: str) -> None:
        self.ask(TARGET, NEW, f"targetname={name}", tid=tid)

    def delete_target(self, tid: int) -> None:
        """Delete it with its unit and rules, unless there are sessions: TARGET_ACTIVE.

        tgtd can be told to do it by force. With a machine reading at full speed that
        said LUN_ACTIVE and left half a target; `end` first, then delete.
        """
        self.ask(TARGET, DELETE, tid=tid)

    def end(self, tid: int, session: int, connection: int) -> None:
        """Close an initiator's connection, and with its last one the session."""
        self.ask(CONNECTION, DELETE, tid=tid, session=session, connection=connection)

    def new_lun(self, tid: int, path: str) -> None:
        self.ask(UNIT, NEW, f"path={path}", tid=tid, lun=LUN)

    def allow(self, tid: int, initiator: str) -> None:
        self.ask(TARGET, BIND, f"initiator-name={initiator}", tid=tid)

    def forbid(self, tid: int, rule: str) -> None:
        """Take a rule back, one for a name or one for an address."""
        kind = "initiator-name" if re.match(r"iqn\.|eui\.|naa\.", rule) else "initiator-address"
        self.ask(TARGET, UNBIND, f"{kind}={rule}", tid=tid)

    def new_account(self, user: str, secret: str) -> None:
        self.ask(ACCOUNT, NEW, f"user={user},password={secret}")

    def delete_account(self, user: str) -> None:
        """Delete it, from the targets that have it too: those without an account let in by name alone."""
        self.ask(ACCOUNT, DELETE, f"user={user}")

    def bind_account(self, tid: int, user: str) -> None:
        self.ask(ACCOUNT, BIND, f"user={user}", tid=tid)

    def unbind_account(self, tid: int, user: str) -> None:
        self.ask(ACCOUNT, UNBIND, f"user={user}", tid=tid)

    # -- the wire

    def ask(
        self,
        mode: int,
        op: int,
        words: str = "",
        *,
        tid: int = _ALL,
        session: int = 0,
        connection: int = 0,
        lun: int = NO_LUN,
    ) -> str:
        """Return the answer's text; raises `TgtdError`, `LunUnreachable`, `LunRefused` if we are not root."""
        data = words.encode() + b"\0" if words else b""
        length = REQUEST.size + len(data)
        request = REQUEST.pack(mode, op, DRIVER, length, tid, session, lun, connection, 0, 0, 0, 0, 0)
        try:
            with self._way(self.path, request + data, self._timeout) as line:
                return self._answer(line)
        except OSError as error:
            if isinstance(error, PermissionError | BrokenPipeError | ConnectionResetError):
                self._unheard()
            why = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise unreached(self.path, why) from error

    def _answer(self, line: socket.socket) -> str:
        said, length = _ANSWER.unpack(self._octets(line, _ANSWER.size))
        if said:
            raise TgtdError(said)
        if not _ANSWER.size <= length <= _LONGEST:
            raise LunUnreachable("", f"tgtd at {self.path} speaks another language: {length} octets")
        return self._octets(line, length - _ANSWER.size).decode(errors="replace").rstrip("\0")

    def _octets(self, line: socket.socket, count: int) -> bytes:
        octets = bytearray()
        while len(octets) < count:
            chunk = line.recv(min(count - len(octets), 1 << 20))
            if not chunk:
                self._unheard()
                raise LunUnreachable("", f"tgtd at {self.path} hung up")
            octets += chunk
        return bytes(octets)

    def _unheard(self) -> None:
        """Raise `LunRefused` where that is why: tgtd hangs up on whoever is not uid 0 and gid 0."""
        if self._way is direct and not is_root():
            raise LunRefused("", f"tgtd at {self.path} takes orders from root alone")


_CONNECTION_ROWS = re.compile(
    r"^Session: (\d+)\n +Connection: (\d+)\n +Initiator: (.*)\n +IP Address: (.*)$", re.MULTILINE
)


# target, unit, session, octets and commands of reads begun and done, the same of writes, errors
_STATS_ROWS = re.compile(r"^-?\d+ +(\d+) +(\d+)(?: +\d+){8} +(\d+)$", re.MULTILINE)

_HEAD = re.compile(r"Target (\d+): (.+)")


def parse_targets(text: str) -> list[Target]:
    """Read what ``tgtadm --mode target --op show`` prints; lines that are not known are passed over."""
    targets: list[Target] = []
    part, lun = "", ""
    for line in text.split("\n"):
        if line.startswith("Target ") and (head := _HEAD.fullmatch(line)):
            targets.append(Target(int(head[1]), head[2]))
            part, lun = "", ""
        elif line.startswith("    ") and line[4:5].strip():
            part, lun = line.strip().removesuffix(":"), ""
        elif part in _PARTS and targets and (words := line.strip()):
            lun = _read_line(targets[-1], part, lun, words)
    return targets


_LUNS, _ACCOUNTS, _RULES = _PARTS = ("LUN information", "Account information", "ACL information")


def _read_line(target: Target, part: str, lun: str, words: str) -> str:
    """Read a line of *part*; return which LUN it speaks of."""
    if part == _ACCOUNTS:
        target.accounts.append(words.removesuffix(" (outgoing)"))
    elif part == _RULES:
        target.rules.append(words)
    elif words.startswith("LUN: "):
        return words.removeprefix("LUN: ")
    elif lun == str(LUN) and words.startswith("Backing store path: "):
        target.path = words.removeprefix("Backing store path: ")
    return lun
