"""Ways on which an order reaches tgtd: as root by ourselves, else by the broker that stayed root."""

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from bootd.drivers.lun import broker
from bootd.drivers.lun.base import LunRefused, LunUnreachable
from bootd.drivers.lun.broker import REQUEST

WAY_OUT = "systemctl start tgt starts it"


class Way(Protocol):
    """Gives one request, and the socket on which tgtd's answer to it comes."""

    def __call__(self, path: str, request: bytes, timeout: float) -> AbstractContextManager[socket.socket]:
        """Raises `OSError`, `LunUnreachable` or `LunRefused`; *timeout* is the socket's."""


@contextmanager
def direct(path: str, request: bytes, timeout: float) -> Iterator[socket.socket]:
    """Ask tgtd at *path* ourselves."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, _made_safe(path, request) as order:
        line.settimeout(timeout)
        line.connect(path)
        line.sendall(order)
        yield line


@contextmanager
def _made_safe(path: str, request: bytes) -> Iterator[bytes]:
    """Let root's commands, too, have no file exported but one of the folder's owner, who may be no friend."""
    if not is_root() or REQUEST.unpack_from(request)[:2] != (broker.UNIT, broker.NEW):
        yield request
        return
    try:
        image = Path(broker.check(request)["path"])
        owner = image.parent.stat().st_uid
        with broker.exported(request, path, image, image.parent, owner) as order:
            yield order
    except broker.Refusal as refusal:
        raise LunRefused("", str(refusal)) from refusal
    except broker.Unreached as error:
        raise unreached(path, str(error)) from error


def unreached(path: str, why: str) -> LunUnreachable:
    return LunUnreachable("", f"tgtd does not answer at {path}: {why}; {WAY_OUT}")


class Broker:
    """The process of `broker`, for as long as we live: to be made while we are root.

    *folder* is where the volumes lie, *user* whom they will belong to. Any thread may give
    orders; tgtd is given one after the other.
    """

    def __init__(self, path: str, folder: Path, user: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        uid = str(pwd.getpwnam(user).pw_uid)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", broker.__file__, path, str(folder.absolute()), uid],
                stdin=theirs.fileno(),
                env={},
                start_new_session=True,  # Ctrl-C is for us alone
            )
        self._path, self._orders = path, ours
        if not ours.recv(1):
            self.close()
            raise self._ended()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End it, and wait for that: it may be in the middle of one order."""
        self._orders.close()
        self._process.wait()

    @contextmanager
    def __call__(self, path: str, request: bytes, timeout: float) -> Iterator[socket.socket]:
        if path != self._path:
            raise LunRefused("", f"bootd's broker passes orders on to {self._path} alone, not to {path}")
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._send(request, theirs)
            ours.settimeout(timeout + broker.TIMEOUT)  # others' orders may come first
            word = ours.recv(1)
            if word != broker.ANSWERED:
                self._raise(word, _sentence(ours))
            yield ours

    def _send(self, request: bytes, answer: socket.socket) -> None:
        try:
            socket.send_fds(self._orders, [request], [answer.fileno()])
        except OSError as error:
            raise self._ended() from error

    def _raise(self, word: bytes, sentence: str) -> None:
        if word == broker.REFUSED:
            raise LunRefused("", f"bootd's broker does not pass that on to tgtd: {sentence}")
        raise unreached(self._path, sentence) if word else self._ended()

    def _ended(self) -> LunUnreachable:
        code = self._process.poll()
        how = "" if code is None else f" ({code})"
        return LunUnreachable(
            "", f"the process that gives bootd's orders to tgtd has ended{how}; start bootd again"
        )


def _sentence(line: socket.socket) -> str:
    octets = bytearray()
    while chunk := line.recv(4096):
        octets += chunk
    return octets.decode(errors="replace")


def is_root() -> bool:
    """Tell whether tgtd would obey this process."""
    return os.geteuid() == 0 and os.getegid() == 0
