"""A process that stays root beside bootd and does one thing: it hands bootd's orders on to tgtd.

tgtd obeys uid 0 and gid 0 alone; bootd is an ordinary user once its ports are bound. So it starts
this file first (``python -I -S broker.py SOCKET FOLDER UID``): what runs as root then is what
stands here and the standard library, with none of bootd's memory, files or ports. `brokered` is
bootd's end of it.

Orders come on standard input, a SOCK_SEQPACKET socket that bootd alone has the other end of: each
a request as tgtd has it, with the socket on which its answer is awaited. Nothing else is passed
on: the operations of `ORDERS`, one word each, for targets of bootd's own names (`Standing`), and
files to be exported only if they belong to user UID and lie in FOLDER. tgtd is given the very file
that was looked at, whatever its name leads to by then (`exported`). Nothing is read, written or
run. When bootd ends, however it does, that socket is at its end, and so is this process.
"""

import hashlib
import os
import re
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

TIMEOUT = 10.0  # seconds; tgtd does one thing at a time, each in a moment

# mode, op, lld, length, tid, sid, lun, cid, host_no, device_type, ac_dir, pack, force
REQUEST = struct.Struct("=II64sIiQQIIIIII")
LONGEST = REQUEST.size + (64 << 10)  # octets of a request with its words
DRIVER = b"iscsi"
NO_LUN = 0xFFFFFFFFFFFFFFFF
LUN = 1  # 0 is tgtd's own controller
PREFIX = "iqn.2026-01.bootd.tgt"  # what bootd's targets are called, before a colon and the volume's name
_NOBODYS = 0x7FFFFFFF  # the number of no target, see `number_of`
_ALL = -1  # no target in particular
_FRESH_S = 1.0  # for so long a listing will do to tell whose an account is

_ANSWER = struct.Struct("=II")  # error, length with these eight octets
_NO_TARGET, _EXISTS = 4, 9

TARGET, UNIT, PORTAL, CONNECTION, ACCOUNT = 1, 2, 3, 6, 7
NEW, DELETE, SHOW, BIND, UNBIND, _, STATS = range(7)

_NAME = r"(?:iqn\.|eui\.|naa\.)[A-Za-z0-9.:-]{1,219}"
_ANY = r"[^,\0]*"  # what is taken back may be a line that a machine forged in tgtd's listing
_USER = r"user=[!-+\--~]{1,63}"  # printable, and no comma: tgtd's words end there
ORDERS = {
    (TARGET, SHOW): "",
    (TARGET, STATS): "",
    (TARGET, NEW): rf"targetname=(?P<name>{re.escape(PREFIX)}:[a-z0-9.-]{{1,63}})",
    (TARGET, DELETE): "",
    (TARGET, BIND): f"initiator-name={_NAME}",
    (TARGET, UNBIND): f"initiator-(?:name|address)={_ANY}",
    (UNIT, NEW): r"path=(?P<path>/[^,\0]+)",
    (PORTAL, SHOW): "",
    (CONNECTION, SHOW): "",
    (CONNECTION, DELETE): "",
    (ACCOUNT, NEW): f"{_USER},password=[!-~]{{12,16}}",
    (ACCOUNT, DELETE): f"user=(?P<user>{_ANY})",
    (ACCOUNT, BIND): _USER,
    (ACCOUNT, UNBIND): f"user={_ANY}",
}

# Those that change nothing of what is there
_HARMLESS = {
    (TARGET, SHOW),
    (TARGET, STATS),
    (TARGET, NEW),
    (PORTAL, SHOW),
    (CONNECTION, SHOW),
    (ACCOUNT, NEW),
}

# The first octet of an answer: what follows is tgtd's, or a sentence
ANSWERED, UNREACHED, REFUSED = b"=", b"!", b"?"


class Refusal(Exception):
    """Why an order is not passed on."""


class Unreached(Exception):
    """tgtd did not answer."""


def number_of(name: str) -> int:
    """Return the number of target *name*, the same after a restart: tgtd makes the disk's identity of it."""
    return 1 + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 0x7FFFFFFE


def link_of(path: str, image: Path) -> Path:
    """Return by which name tgtd at *path* is given a volume's file: a link beside its socket."""
    whose = hashlib.sha256(os.fsencode(image.parent)).hexdigest()[:16]
    return Path(path).with_name(f"bootd-{whose}-{image.name}")


def check(request: bytes) -> re.Match[str]:
    """Raise `Refusal` unless *request* is one that bootd's driver makes; return what its words say."""
    if not REQUEST.size <= len(request) <= LONGEST:
        raise Refusal(f"no order has {len(request)} octets")
    mode, op, driver, length, tid, _, lun, _, *rest = REQUEST.unpack_from(request)
    if driver.rstrip(b"\0") != DRIVER or length != len(request) or any(rest):
        raise Refusal("that is no order of bootd's")
    if (mode, op) not in ORDERS or lun != (LUN if (mode, op) == (UNIT, NEW) else NO_LUN):
        raise Refusal(f"operation {mode}/{op} is none that is passed on")
    words = request[REQUEST.size :].decode("utf-8", "surrogateescape")
    if words and not words.endswith("\0"):
        raise Refusal("its words have no end")
    found = re.fullmatch(ORDERS[mode, op], words[:-1])
    if found is None:
        raise Refusal(f"these are no words of operation {mode}/{op}")
    if (mode, op) == (TARGET, NEW) and tid != number_of(found["name"]):
        raise Refusal(f"{tid} is not the number of {found['name']}")
    return found


@contextmanager
def exported(request: bytes, path: str, image: Path, folder: Path, uid: int) -> Iterator[bytes]:
    """Yield the order to export *image* with a name that leads to just the file that was looked at.

    tgtd opens, as root, by name, and the folder's owner can give the name to another file at any
    moment. So the name it is told is a link, where root alone makes any, to the file that we have open.
    """
    link, head = link_of(path, image), REQUEST.unpack_from(request)
    handle = _looked_at(image, folder, uid)
    try:
        beside = link.parent.stat()
        if beside.st_uid != os.geteuid() or (beside.st_mode & 0o022 and not beside.st_mode & stat.S_ISVTX):
            raise Refusal(f"others than root can write to {link.parent}")
        link.unlink(missing_ok=True)  # of a broker that was killed
        link.symlink_to(f"/proc/{os.getpid()}/fd/{handle}")
        words = b"path=" + os.fsencode(link) + b"\0"
        yield REQUEST.pack(*head[:3], REQUEST.size + len(words), *head[4:]) + words
    except OSError as error:
        raise Unreached(f"{link}: {error.strerror}") from error
    finally:
        link.unlink(missing_ok=True)
        os.close(handle)


def _looked_at(image: Path, folder: Path, uid: int) -> int:
    """Return a handle on a volume of bootd's; raises `Refusal` for any other file."""
    if image.parent != folder or not re.fullmatch(r"[a-z0-9][a-z0-9.-]*\.img", image.name):
        raise Refusal(f"{image} is no volume in {folder}")
    try:
        handle = os.open(image, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Refusal(f"{image}: {error.strerror}") from error
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != uid:
        os.close(handle)
        raise Refusal(f"{image} is no file of user {uid}'s own")
    return handle


class Standing:
    """Whose the targets and accounts of tgtd at *path* are: it may serve others than bootd.

    Its listing has in it what machines call themselves, newlines and all, so there may be lines in
    it that are not true. What is true is never missing: a number that bootd's names alone claim
    is bootd's. Where others claim it too, tgtd is asked whether there is a target of bootd's name.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._pid, self._at = 0, 0.0
        self._ours: set[int] = set()
        self._listed: list[tuple[int, str, set[str]]] = []

    def check(self, request: bytes, found: re.Match[str], pid: int) -> None:
        """Raise `Refusal` where the order would change what is not bootd's; *pid* is tgtd's."""
        mode, op, _, _, tid, *_ = REQUEST.unpack_from(request)
        if pid != self._pid:  # it was started anew, and knows nothing
            self._pid, self._at = pid, 0.0
            self._ours.clear()
        if (mode, op) == (ACCOUNT, DELETE):
            if time.monotonic() - self._at > _FRESH_S:
                self._list()
            for each, name, users in tuple(self._listed):
                if found["user"] in users and _is_strange(name) and self._is_others(each):
                    raise Refusal(f"account {found['user']} is that of target {each}, which is not bootd's")
        elif (mode, op) not in _HARMLESS and self._is_others(tid):
            raise Refusal(f"target {tid} is not bootd's")
        if (mode, op) == (TARGET, DELETE):
            self._ours.discard(tid)

    def heed(self, request: bytes, answer: bytes) -> None:
        """Take note of a target that was made: with a thousand of them a listing is long."""
        mode, op, _, _, tid, *_ = REQUEST.unpack_from(request)
        if (mode, op) == (TARGET, NEW) and answer[:4] == bytes(4):
            self._ours.add(tid)

    def _is_others(self, tid: int) -> bool:
        if tid in self._ours:
            return False
        self._list()
        names = {name for each, name, _ in self._listed if each == tid}
        mine = {name for name in names if not _is_strange(name) and number_of(name) == tid}
        if mine and (mine == names or any(self._is_there(name) for name in mine)):
            self._ours.add(tid)
            return False
        return bool(names) and self._asked(CONNECTION, SHOW, tid)[0] != _NO_TARGET

    def _is_there(self, name: str) -> bool:
        """Have it made a second time: tgtd says no if there is one."""
        error, _ = self._asked(TARGET, NEW, _NOBODYS, f"targetname={name}")
        if not error:
            self._asked(TARGET, DELETE, _NOBODYS)
        return error == _EXISTS

    def _list(self) -> None:
        _, text = self._asked(TARGET, SHOW, _ALL)
        self._listed, self._at = [], time.monotonic()
        part = ""
        for line in text.split("\n"):
            if head := re.fullmatch(r"Target (\d+): (.*)", line):
                self._listed.append((int(head[1]), head[2], set()))
            elif line[4:5].strip():
                part = line.strip()
            elif part == "Account information:" and self._listed:
                self._listed[-1][2].add(line.strip().removesuffix(" (outgoing)"))

    def _asked(self, mode: int, op: int, tid: int, words: str = "") -> tuple[int, str]:
        data = words.encode() + b"\0" if words else b""
        request = REQUEST.pack(mode, op, DRIVER, REQUEST.size + len(data), tid, 0, NO_LUN, 0, 0, 0, 0, 0, 0)
        answer = bytearray()
        with _line(self._path) as line, _reached():
            line.sendall(request + data)
            while chunk := line.recv(1 << 20):
                answer += chunk
                if len(answer) >= _ANSWER.size and len(answer) >= _ANSWER.unpack_from(answer)[1]:
                    break
        if len(answer) < _ANSWER.size:
            raise Unreached("it hung up")
        text = answer[_ANSWER.size :].decode("utf-8", "surrogateescape").rstrip("\0")
        return _ANSWER.unpack_from(answer)[0], text


def _is_strange(name: str) -> bool:
    return not name.startswith(f"{PREFIX}:")


def serve(orders: socket.socket, path: str, folder: Path, uid: int) -> None:
    """Hand on one order after the other, until nobody can give any."""
    standing = Standing(path)
    while True:
        request, handles, _, _ = socket.recv_fds(orders, LONGEST + 1, 1)
        if not request:
            return
        for handle in handles:
            if not stat.S_ISSOCK(os.fstat(handle).st_mode):
                os.close(handle)
                continue
            with socket.socket(fileno=handle) as client:
                client.settimeout(TIMEOUT)
                try:
                    _hand_on(request, client, standing, path, folder, uid)
                except OSError:
                    continue  # it waits no longer


def _hand_on(
    request: bytes, client: socket.socket, standing: Standing, path: str, folder: Path, uid: int
) -> None:
    """Have tgtd's answer, or a sentence, sent to *client*; raises `OSError` where that cannot be."""
    if _has_gone(client):
        return
    try:
        found = check(request)
        with ExitStack() as stack:
            if "path" in found.groupdict():
                request = stack.enter_context(exported(request, path, Path(found["path"]), folder, uid))
            line = stack.enter_context(_line(path))
            standing.check(request, found, _pid_of(line))
            first = _told(line, request)
            standing.heed(request, first)
            client.sendall(ANSWERED)
            while first:
                client.sendall(first)
                first = line.recv(1 << 20)
    except Refusal as refusal:
        client.sendall(REFUSED + str(refusal).encode("utf-8", "backslashreplace"))
    except Unreached as error:
        client.sendall(UNREACHED + str(error).encode())


@contextmanager
def _line(path: str) -> Iterator[socket.socket]:
    """Yield a line to tgtd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(TIMEOUT)
        with _reached():
            line.connect(path)
        yield line


def _told(line: socket.socket, request: bytes) -> bytes:
    """Return the beginning of tgtd's answer, "" where it hung up."""
    with _reached():
        line.sendall(request)
        return line.recv(1 << 20)


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unreached(
            "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        ) from error


def _pid_of(line: socket.socket) -> int:
    """Return whose the other end is."""
    pid: int = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid


def _has_gone(client: socket.socket) -> bool:
    """Tell whether whoever asked has given up: an order that waited for others is not late but void."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(0))  # POLLHUP and POLLERR are told unasked


def main() -> None:
    path, folder, uid = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are meant for bootd, and bootd's end is ours
    os.chdir("/")
    with socket.socket(fileno=0) as orders:
        orders.send(b"!")  # from now on
        serve(orders, path, Path(folder), int(uid))


if __name__ == "__main__":
    main()
