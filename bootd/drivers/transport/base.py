"""The interface of transports."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from bootd.drivers.source import ByteSource
from bootd.drivers.tools import Tools
from bootd.drivers.transport.channels import Channel
from bootd.drivers.transport.errors import (
    SessionMissing,
    TransportError,
    TransportRefused,
    TransportUnreachable,
)

__all__ = [
    "Order",
    "ReceiverStatus",
    "ReceiverStep",
    "SessionMissing",
    "SessionStatus",
    "SessionStep",
    "Transport",
    "TransportError",
    "TransportRefused",
    "TransportUnreachable",
    "Way",
    "check_order",
    "check_receiver",
    "opened",
]


@dataclass(frozen=True, slots=True)
class Order:
    """An image to be sent to receivers."""

    id: str  # of the session, chosen by whoever orders it
    image: ByteSource
    receivers: tuple[str, ...]  # names of hosts
    channel: Channel
    rate: int  # bit/s on the wire at most, from the one budget
    join_wait_s: float = 60.0  # begins without those that have not joined by then
    drop_after_s: float = 30.0  # goes on without one that has been silent for so long
    singly: bool = False  # each for itself, where the transport can: together it did not succeed


@dataclass(frozen=True, slots=True)
class Way:
    """What a receiver is told, to take part in a session."""

    transport: str  # by which means: a name of `DRIVERS`
    channel: Channel | None = None  # where the image is sent, if it is multicast
    path: str = ""  # where it is fetched, below bootd's own HTTP address, if it is not


class SessionStep(StrEnum):
    """How far a session is; it goes forward only."""

    JOINING = "joining"  # waits for its receivers
    SENDING = "sending"
    OVER = "over"  # every receiver is done or failed; its channel and rate are free


class ReceiverStep(StrEnum):
    """How far a receiver is; it goes forward only, and ends as one of the last two."""

    WAITING = "waiting"
    RECEIVING = "receiving"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """One receiver. Its octets never become fewer; DONE means that it has the whole image.

    That what it has is right is not said here: a receiver compares digests.
    """

    node: str
    step: ReceiverStep
    octets: int = 0
    rate: int = 0  # bit/s just now
    reason: str = ""  # why it failed


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session, its receivers in the order in which they were given."""

    id: str
    step: SessionStep
    size: int  # octets of the image
    receivers: tuple[ReceiverStatus, ...]

    def nodes(self, step: ReceiverStep) -> tuple[str, ...]:
        """Return the receivers that are at *step*: ``nodes(ReceiverStep.DONE)`` is the outcome *ok*."""
        return tuple(receiver.node for receiver in self.receivers if receiver.step is step)


class Transport(ABC):
    """Sends images to receivers that take them by the same means.

    No call waits for an image: `start` returns when the sender is there, `status` is
    asked as often as one likes (once a second is usual), and a session ends by itself
    when each receiver is done or failed. One that fails holds up the others for
    *drop_after_s* at most, and takes none of them with it.

    **Repeating.** `start` goes by the order's id: one that is running, or is over, is
    not started again, so the call may be repeated after `TransportUnreachable` and
    after our own process was killed in it. A sender may outlive us: `sessions` finds it.

    **Errors.** `TransportRefused` (permanent, nothing was changed), `SessionMissing`,
    `TransportUnreachable` (try again), no others.

    **Threads.** Any method from any thread.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @abstractmethod
    def start(self, order: Order) -> None:
        """Have the session running.

        Refused: an order that makes no sense (`check_order`), an image that cannot be
        read, another order of the same id, a channel that collides with a running one.
        """

    @abstractmethod
    def status(self, session: str) -> SessionStatus:
        """Return how far a session is, also when it is over; raises `SessionMissing`."""

    @abstractmethod
    def way(self, session: str, node: str) -> Way:
        """Return how the receiver *node* takes part, the same each time; raises `SessionMissing`.

        Refused: a *node* that is not among the session's receivers.
        """

    @abstractmethod
    def leave_out(self, session: str, node: str, why: str) -> None:
        """Wait no longer for the receiver *node*: unless it is done, it has failed with *why*.

        Not there, over, or without such a receiver: fine.
        """

    @abstractmethod
    def stop(self, session: str) -> None:
        """Have the session over; who is not done has failed. Over or not there: fine."""

    @abstractmethod
    def sessions(self) -> list[str]:
        """Return the ids of those that are not over, in order; to end those that nobody wants any more."""


def check_receiver(session: str, node: str, receivers: Collection[str]) -> None:
    """Raise `TransportRefused` where *node* has no part in *session*."""
    if node not in receivers:
        raise TransportRefused(session, f"{node} is none of its receivers")


def check_order(order: Order) -> None:
    """Raise `TransportRefused` for an order that no transport could carry out."""
    reason = ""
    if not order.receivers or len(set(order.receivers)) < len(order.receivers):
        reason = "its receivers are none, or one is named twice"
    elif order.rate < 1 or order.join_wait_s < 0 or order.drop_after_s < 0:
        reason = "its rate or a wait is below what there is"
    elif not order.channel.is_valid:
        reason = f"{order.channel.address}:{order.channel.port} is no channel for a session"
    if reason:
        raise TransportRefused(order.id, reason)


def opened(order: Order) -> Iterator[bytes]:
    """Return the image, its first octets read already; raises `TransportRefused` where they cannot be."""
    chunks = iter(order.image.chunks())
    try:
        first = next(chunks, b"")
    except OSError as error:
        raise TransportRefused(order.id, f"its image cannot be read: {error.strerror or error}") from error
    return chain([first] if first else [], chunks)
