"""Transports: one image to many receivers."""

from bootd.drivers.transport.base import (
    Order,
    ReceiverStatus,
    ReceiverStep,
    SessionMissing,
    SessionStatus,
    SessionStep,
    Transport,
    TransportError,
    TransportRefused,
    TransportUnreachable,
    Way,
)
from bootd.drivers.transport.channels import STANDARD, Channel, ChannelsTaken, Range, allocate
from bootd.drivers.transport.network import Network
from bootd.drivers.transport.offers import Offered, Offers
from bootd.drivers.transport.rates import grant, share
from bootd.drivers.transport.table import DRIVERS, open_transport

__all__ = [
    "DRIVERS",
    "STANDARD",
    "Channel",
    "ChannelsTaken",
    "Network",
    "Offered",
    "Offers",
    "Order",
    "Range",
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
    "allocate",
    "grant",
    "open_transport",
    "share",
]
