"""What bootd says about itself: one class an event, its docstring the manual page.

An event says who first (*mac*, *host*); `Telemetry` stamps it with the time,
counts it and hands it on. Names are stable. A new event is written in its room and
named here: a test holds this list to the classes.
"""

from bootd.events.base import Event, Reasoned
from bootd.events.boot import LoopSuspected, OverrideUsed, SnapshotPublished
from bootd.events.dhcp import (
    AddressDeclined,
    AddressGiven,
    AddressOffered,
    AddressRefused,
    AddressReleased,
    NetworkTold,
    OfferSent,
    OtherServerChosen,
    PacketIgnored,
    UnknownMachine,
)
from bootd.events.http import (
    CalendarRefused,
    CalendarSent,
    FileSent,
    LocalBootStarted,
    ScriptRefused,
    ScriptSent,
)
from bootd.events.jobs import JobEnded, ReservationMissed
from bootd.events.luns import LunsRestored, LunsSwept
from bootd.events.node import (
    NodeReported,
    NodeReportRefused,
    PieceRefused,
    ReadPermitted,
    ReadRefused,
    SlotCaptured,
    WritePermitted,
    WriteRefused,
)
from bootd.events.service import (
    InternalError,
    LinesLeftOut,
    PacketDropped,
    PrivilegesDropped,
    PrivilegesKept,
    ProblemCleared,
    ProblemFound,
    ServiceStarted,
    ServiceStopped,
)
from bootd.events.tftp import TftpReadCompleted, TftpReadFailed, TftpReadStarted, TftpRefused

__all__ = [
    "AddressDeclined",
    "AddressGiven",
    "AddressOffered",
    "AddressRefused",
    "AddressReleased",
    "CalendarRefused",
    "CalendarSent",
    "Event",
    "FileSent",
    "InternalError",
    "JobEnded",
    "LinesLeftOut",
    "LocalBootStarted",
    "LoopSuspected",
    "LunsRestored",
    "LunsSwept",
    "NetworkTold",
    "NodeReportRefused",
    "NodeReported",
    "OfferSent",
    "OtherServerChosen",
    "OverrideUsed",
    "PacketDropped",
    "PacketIgnored",
    "PieceRefused",
    "PrivilegesDropped",
    "PrivilegesKept",
    "ProblemCleared",
    "ProblemFound",
    "ReadPermitted",
    "ReadRefused",
    "Reasoned",
    "ReservationMissed",
    "ScriptRefused",
    "ScriptSent",
    "ServiceStarted",
    "ServiceStopped",
    "SlotCaptured",
    "SnapshotPublished",
    "TftpReadCompleted",
    "TftpReadFailed",
    "TftpReadStarted",
    "TftpRefused",
    "UnknownMachine",
    "WritePermitted",
    "WriteRefused",
]
