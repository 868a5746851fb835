"""Images fetched from our own HTTP server, each receiver at its own pace: late comers, single nodes."""

import hashlib
import hmac
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bootd.drivers.tools import Tools
from bootd.drivers.transport.base import (
    Order,
    SessionMissing,
    SessionStatus,
    SessionStep,
    Transport,
    TransportRefused,
    TransportUnreachable,
    Way,
    check_order,
    check_receiver,
    opened,
)
from bootd.drivers.transport.network import Network
from bootd.drivers.transport.offers import Offer, Offered

FOLDER = "/image/"  # where `bootd.http` serves what is offered
_SECRET = "http.secret"
_KEPT = 1000  # sessions that are over and still known


class HttpTransport(Transport):
    """To start a session is to offer its image: a path for each receiver, that nobody can guess.

    The path follows from the session's id, the receiver and a secret in our folder: after a
    restart the session that is started again is where it was, and receivers go on by Range. Joined
    is who asks, done who has all octets in its machine. The sessions' rate is that of all its
    receivers together; the channel is not used, but is the session's all the same.
    """

    def __init__(
        self, tools: Tools, network: Network, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(tools)
        self._network, self._monotonic = network, monotonic
        self._offers: dict[str, Offer] = {}
        self._lock = threading.Lock()
        self._key: bytes | None = None

    def start(self, order: Order) -> None:
        check_order(order)
        opened(order)
        with self._lock:
            there = self._offers.get(order.id)
            if there is not None and there.order != order:
                raise TransportRefused(order.id, "is there with another order")
            if there is not None:
                return
            self._check_channel(order)
            names = {node: self._name(order.id, node) for node in order.receivers}
            offer = Offer(order, self._monotonic())
            self._offers[order.id] = offer
            for node, name in names.items():
                self._network.offers.put(name, Offered(offer, node))
            self._forget_oldest()

    def status(self, session: str) -> SessionStatus:
        return self._look(self._find(session))

    def way(self, session: str, node: str) -> Way:
        check_receiver(session, node, self._find(session).order.receivers)
        with self._lock:
            return Way("http", path=FOLDER + self._name(session, node))

    def leave_out(self, session: str, node: str, why: str) -> None:
        with suppress(SessionMissing):
            offer = self._find(session)
            if node in offer.order.receivers:
                offer.fail(why, self._monotonic(), node)

    def stop(self, session: str) -> None:
        with suppress(SessionMissing):
            offer = self._find(session)
            offer.fail("stopped", self._monotonic())
            self._look(offer)

    def sessions(self) -> list[str]:
        with self._lock:
            offers = dict(self._offers)
        return sorted(
            name for name, offer in offers.items() if self._look(offer).step is not SessionStep.OVER
        )

    def _look(self, offer: Offer) -> SessionStatus:
        """Return the status; what is over is offered no more."""
        status = offer.status(self._monotonic())
        if status.step is SessionStep.OVER:
            with self._lock:
                for node in offer.order.receivers:
                    self._network.offers.remove(self._name(offer.order.id, node))
        return status

    def _check_channel(self, order: Order) -> None:
        now = self._monotonic()
        for name, other in self._offers.items():
            running = other.status(now).step is not SessionStep.OVER
            if running and order.channel.collides(other.order.channel):
                raise TransportRefused(order.id, f"its channel collides with session {name}")

    def _find(self, session: str) -> Offer:
        with self._lock:
            if session not in self._offers:
                raise SessionMissing(session)
            return self._offers[session]

    def _forget_oldest(self) -> None:
        now = self._monotonic()
        over = [name for name, offer in self._offers.items() if offer.status(now).step is SessionStep.OVER]
        for name in over[: max(0, len(over) - _KEPT)]:
            del self._offers[name]

    def _name(self, session: str, node: str) -> str:
        self._key = self._key or _secret(self._tools.folder)
        return hmac.new(self._key, f"{session}\0{node}".encode(), hashlib.sha256).hexdigest()[:32]


def _secret(folder: Path) -> bytes:
    """Return our secret, made at the first call; raises `TransportUnreachable`."""
    path = folder / _SECRET
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(32))
        secret = path.read_bytes()
    except OSError as error:
        raise TransportUnreachable("", f"cannot keep a secret in {folder}: {error.strerror}") from error
    if len(secret) < 32:  # cut off as it was made
        path.unlink(missing_ok=True)
        return _secret(folder)
    return secret
