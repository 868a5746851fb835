"""One udp-sender, from its start to its end, with the two threads that it takes."""

import fcntl
import math
import os
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from bootd.drivers.transport.base import Order, SessionStatus
from bootd.drivers.transport.errors import TransportRefused, TransportUnreachable
from bootd.drivers.transport.standing import Standing
from bootd.drivers.transport.strays import LAUNCHER, PROGRAM, Strays
from bootd.drivers.transport.utterances import Participant

READY_S = 10.0  # the longest that a sender takes to be there, on a machine that is busy
_LOOK_S = 0.2  # between two looks whether all have joined, when nothing is said
_HELLO_MS = 100  # a receiver whose question or answer was lost asks again when it hears this
# Joined, for the sender, is who asked; whom the answer did not reach is not, and would end at the first
# octet ("Bad server reply"). So the sender begins when ten more hellos have gone out since the last one
# joined: with 5 % loss on every way every seventh attempt fails.
_SETTLE_S = 1.0
_GO = struct.pack("!HH", 2, 0)  # udpcast's CMD_GO, by which a receiver asks that the sender begin
_QUICK_TRIES = 9  # udp-sender asks so often within a tenth of a second, then once a second
_SLICE = 112 * 1456  # octets that are acknowledged together
_PIPE = 1 << 20  # octets, so that slices are full


class Sender:
    """Made and asked by any thread. *chunks* is the image, open already."""

    def __init__(
        self,
        order: Order,
        chunks: Iterator[bytes],
        interface: str,
        whose: Callable[[str], str],
        strays: Strays,
    ) -> None:
        self.order = order
        self._chunks, self._interface, self._strays = chunks, interface, strays
        self._standing = Standing(order, whose, time.monotonic())
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self._joined: dict[str, Participant] = {}
        self._joined_at = 0.0  # when that became what it is
        self._there = threading.Event()  # it may be joined, or is no more
        self._reading = False  # the image, from where it lies: who waits then waits for that
        self._why = ""  # it is to end
        self._thread = threading.Thread(target=self._run, name=f"udpcast-{order.id}", daemon=True)

    def start(self) -> None:
        """Return when receivers may join; raises `TransportRefused` and `TransportUnreachable`."""
        if missing := [program for program in (PROGRAM, LAUNCHER[0]) if shutil.which(program) is None]:
            package = {PROGRAM: "udpcast", LAUNCHER[0]: "util-linux"}[missing[0]]
            raise TransportRefused(self.order.id, f"{missing[0]} is not installed: apt-get install {package}")
        self._thread.start()
        if not self._there.wait(READY_S):
            self.stop(f"{PROGRAM} is not ready after {READY_S:g} s")
        with self._lock:
            if not self._standing.said.ready:
                words = self._standing.said.last_words or self._why or "it ended"
                raise TransportUnreachable(self.order.id, f"{PROGRAM} does not send: {words}")

    def status(self) -> SessionStatus:
        with self._lock:
            return self._standing.status(time.monotonic())

    @property
    def is_over(self) -> bool:
        with self._lock:
            return self._standing.is_over

    def leave_out(self, node: str, why: str) -> None:
        with self._lock:
            self._standing.leave_out(node, why)

    def stop(self, why: str) -> None:
        """End it, and return when it is gone; over: fine."""
        self._end(why)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def kill(self) -> None:
        """End it without waiting."""
        self._end("bootd ended")

    # -- its own thread: the sender lives no longer than this -----------------------------------

    def _run(self) -> None:
        try:
            ending = self._live()
        except OSError as error:
            ending = f"{PROGRAM} cannot be run: {error.strerror or error}"
        with self._lock:
            self._standing.end(self._why or ending)
        self._strays.forget(self.order.id)
        self._there.set()

    def _live(self) -> str:
        source, sink = os.pipe()
        with suppress(PermissionError):  # a user's pipes have a bound together; a small one will do
            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _PIPE)
        try:
            process = subprocess.Popen(
                self._command(),
                stdin=source,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                process_group=0,  # Ctrl-C is for us alone; a session of its own would be a stranger
            )
        except BaseException:
            os.close(sink)  # else the feeder does
            raise
        finally:
            os.close(source)
        with process:
            self._process = process
            feeder = threading.Thread(target=self._feed, args=(sink,), name=f"udpcast-image-{self.order.id}")
            feeder.daemon = True
            feeder.start()
            assert process.stderr is not None
            try:
                self._strays.note(self.order.id, process.pid, self.order.channel)
                if self._why:
                    process.kill()
                self._listen(process.stderr.fileno())
                code = process.wait()
            finally:
                process.kill()
        said = self._standing.said
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        return "the sender ended before they had all" if said.complete else f"the sender ended {how}"

    def _command(self) -> list[str]:
        order, address = self.order, self.order.channel.address
        return [
            *LAUNCHER,
            PROGRAM,
            *("--interface", self._interface),
            *("--portbase", str(order.channel.port)),
            *("--mcast-data-address", address),
            *("--mcast-rdv-address", address),
            *("--max-bitrate", str(order.rate)),
            *("--retries-until-drop", str(_QUICK_TRIES + max(1, math.ceil(order.drop_after_s)))),
            *("--rexmit-hello-interval", str(_HELLO_MS)),
            *("--stat-period", "0"),  # each slice is told, so that nobody is called done or failed wrongly
            "--full-duplex",  # switches are
            "--nokbd",
        ]

    def _listen(self, handle: int) -> None:
        while True:
            readable, _, _ = select.select([handle], [], [], _LOOK_S)
            octets = os.read(handle, 1 << 16) if readable else b""
            if readable and not octets:
                return
            with self._lock:
                self._standing.take(octets, time.monotonic())
                begin, why = self._due()
            if self._standing.said.ready:
                self._there.set()
            if begin:
                self._begin()
            if why:
                self._end(why)

    def _due(self) -> tuple[bool, str]:
        """Return whether the sender is to begin, and why it is to end ("": it is not)."""
        said, now = self._standing.said, time.monotonic()
        if not said.started:
            waited = now - self._began >= self.order.join_wait_s
            joined = self._standing.joined()
            if joined != self._joined:
                self._joined, self._joined_at = joined, now
            if self._standing.all_final:
                return False, "nobody is left"
            if waited and not joined:
                return False, f"did not join within {self.order.join_wait_s:g} s"
            enough = waited or not self._standing.awaited()
            return bool(joined) and enough and now - self._joined_at >= _SETTLE_S, ""
        if self._standing.all_final:
            return False, "" if said.complete else "nobody is left"
        stalled = now - self._standing.moved_at
        bound = 2 * self.order.drop_after_s + 10 + 4 * 8 * _SLICE / self.order.rate
        if stalled < bound or said.complete:
            return False, ""
        what = "the image cannot be read" if self._reading else "nothing came through"
        return False, f"{what} for {stalled:.0f} s, after {said.octets} octets"

    def _begin(self) -> None:
        """Ask the sender to begin; what it begins with is who has joined. Repeated until it has."""
        address, port = self._standing.said.address, self.order.channel.port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.bind((address, port))  # the port of receivers: from others it takes nothing
            line.sendto(_GO, (address, port + 1))

    def _end(self, why: str) -> None:
        with self._lock:
            if self._standing.is_over:
                return
            self._why = self._why or why
        if self._process is not None:
            self._process.kill()

    # -- the image ------------------------------------------------------------------------------

    def _feed(self, sink: int) -> None:
        """Give the sender the image; one that is not as long as it said is no image, and ends nobody well."""
        why = "its image cannot be read"
        self._there.wait()  # a sender that is not there is another matter than an image that is not right
        try:
            why = self._fed(sink)
        except OSError as error:
            why = f"{why}: {error.strerror or error}"
        finally:
            if why:
                self._end(why)
                self._thread.join()  # a pipe that ends is the image's end: not before the sender is gone
            os.close(sink)

    def _fed(self, sink: int) -> str:
        left = self.order.image.size
        while True:
            self._reading = True
            chunk = next(self._chunks, b"")
            self._reading = False
            if not chunk:
                return f"its image ends {left} octets early" if left else ""
            if len(chunk) > left:
                return "its image is longer than it said"
            left -= len(chunk)
            try:
                _write(sink, chunk)
            except BrokenPipeError:
                return "the sender ended"


def _write(sink: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(sink, rest) :]
