"""A process that stays root beside bootd and does one thing: it hands bootd's orders on to tgtd.

tgtd obeys uid 0 and gid 0 alone; bootd is an ordinary user once its ports are bound. So it starts
this file first (``python -I -S broker.py SOCKET FOLDER UID``): what runs as root then is what
stands here and the standard library, with none of bootd's memory, files or ports. `brokered` is
bootd's end of it.

Orders come on standard input, a SOCK_SEQPACKET socket that bootd alone has the other end of: each
a request as tgtd has it, with the socket on which its answer is awaited. Nothing else is passed
on: the operations of `ORDERS`, one word each, and files to be exported only if they belong to user
UID and lie in FOLDER. No file is opened here and nothing is run. When bootd ends, however it
does, that socket is at its end, and so is this process.
"""

import os
import re
import select
import signal
import socket
import stat
import struct
import sys
from pathlib import Path

TIMEOUT = 10.0  # seconds; tgtd does one thing at a time, each in a moment

# mode, op, lld, length, tid, sid, lun, cid, host_no, device_type, ac_dir, pack, force
REQUEST = struct.Struct("=II64sIiQQIIIIII")
LONGEST = REQUEST.size + (64 << 10)  # octets of a request with its words
DRIVER = b"iscsi"
NO_LUN = 0xFFFFFFFFFFFFFFFF
LUN = 1  # 0 is tgtd's own controller

TARGET, UNIT, PORTAL, CONNECTION, ACCOUNT = 1, 2, 3, 6, 7
NEW, DELETE, SHOW, BIND, UNBIND, _, STATS = range(7)

_NAME = r"(?:iqn\.|eui\.|naa\.)[A-Za-z0-9.:-]{1,219}"
_ANY = r"[^,\0]*"  # what is taken back may be a line that a machine forged in tgtd's listing
_USER = r"user=[!-+\--~]{1,63}"  # printable, and no comma: tgtd's words end there
ORDERS = {
    (TARGET, SHOW): "",
    (TARGET, STATS): "",
    (TARGET, NEW): f"targetname={_NAME}",
    (TARGET, DELETE): "",
    (TARGET, BIND): f"initiator-name={_NAME}",
    (TARGET, UNBIND): f"initiator-(?:name|address)={_ANY}",
    (UNIT, NEW): r"path=(?P<path>/[^,\0]+)",
    (PORTAL, SHOW): "",
    (CONNECTION, SHOW): "",
    (CONNECTION, DELETE): "",
    (ACCOUNT, NEW): f"{_USER},password=[!-~]{{12,16}}",
    (ACCOUNT, DELETE): f"user={_ANY}",
    (ACCOUNT, BIND): _USER,
    (ACCOUNT, UNBIND): f"user={_ANY}",
}

# The first octet of an answer: what follows is tgtd's, or a sentence
ANSWERED, UNREACHED, REFUSED = b"=", b"!", b"?"


class Refusal(Exception):
    """Why an order is not passed on."""


def check(request: bytes, folder: Path, uid: int) -> None:
    """Raise `Refusal` unless *request* is one that bootd's driver makes."""
    if not REQUEST.size <= len(request) <= LONGEST:
        raise Refusal(f"no order has {len(request)} octets")
    mode, op, driver, length, _, _, lun, _, *rest = REQUEST.unpack_from(request)
    is_unit = (mode, op) == (UNIT, NEW)
    if driver.rstrip(b"\0") != DRIVER or length != len(request) or any(rest):
        raise Refusal("that is no order of bootd's")
    if (mode, op) not in ORDERS or lun != (LUN if is_unit else NO_LUN):
        raise Refusal(f"operation {mode}/{op} is none that is passed on")
    words = request[REQUEST.size :].decode("utf-8", "surrogateescape")
    if words and not words.endswith("\0"):
        raise Refusal("its words have no end")
    found = re.fullmatch(ORDERS[mode, op], words[:-1])
    if found is None:
        raise Refusal(f"these are no words of operation {mode}/{op}")
    if is_unit:
        check_file(Path(found["path"]), folder, uid)


def check_file(path: Path, folder: Path, uid: int) -> None:
    """Raise `Refusal` unless *path* is a volume of bootd's: tgtd would open any file on this machine."""
    if path.parent != folder or not re.fullmatch(r"[a-z0-9][a-z0-9.-]*\.img", path.name):
        raise Refusal(f"{path} is no volume in {folder}")
    try:
        facts = path.lstat()
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != uid:
        raise Refusal(f"{path} is no file of user {uid}'s own")


def serve(orders: socket.socket, path: str, folder: Path, uid: int) -> None:
    """Hand on one order after the other, until nobody can give any."""
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
                    _hand_on(request, client, path, folder, uid)
                except OSError:
                    continue  # it waits no longer


def _hand_on(request: bytes, client: socket.socket, path: str, folder: Path, uid: int) -> None:
    """Have tgtd's answer, or a sentence, sent to *client*; raises `OSError` where that cannot be."""
    if _has_gone(client):
        return
    try:
        check(request, folder, uid)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            first = _asked(line, path, request)
            client.sendall(ANSWERED)
            while first:
                client.sendall(first)
                first = line.recv(1 << 20)
    except Refusal as refusal:
        client.sendall(REFUSED + str(refusal).encode("utf-8", "backslashreplace"))
    except _Unreached as error:
        client.sendall(UNREACHED + str(error).encode())


class _Unreached(Exception):
    """tgtd did not answer."""


def _asked(line: socket.socket, path: str, request: bytes) -> bytes:
    """Return the beginning of tgtd's answer, "" where it hung up."""
    try:
        line.settimeout(TIMEOUT)
        line.connect(path)
        line.sendall(request)
        return line.recv(1 << 20)
    except OSError as error:
        raise _Unreached(
            "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        ) from error


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
