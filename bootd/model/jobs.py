"""Jobs: deeds written down, done by whichever worker holds the lease, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

LONGEST_WAIT = timedelta(minutes=15)  # of a step; a job due later than that was written by a wrong clock


class JobKind(StrEnum):
    """What is to be done."""

    STAGE_LUN = "stage-lun"  # write an image to the inactive LUN of a pair, clone it for each node
    WRITE_SLOT = "write-slot"  # send an image into a slot of many disks at once
    START = "start"  # a reservation begins: flip, reset its nodes, watch them come up
    END = "end"  # it is over: images leave their places, nodes go back to their default
    CAPTURE = "capture"  # a slot of one node becomes the next version of an image


class Outcome(StrEnum):
    """How a job ended for one node; the sets of nodes by outcome can be fed to the next command."""

    OPEN = ""
    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed-out"


@dataclass(frozen=True, slots=True)
class Job:
    """A deed, how far it is, and when it goes on."""

    id: int
    kind: JobKind
    reservation: int | None
    deployment: int | None
    nodes: tuple[str, ...]
    created_at: datetime
    created_by: str
    due_at: datetime  # of its next step; never far ahead of now
    state: str = "waiting"  # see lifecycle.tables.JOB
    step: str = ""  # "" before the first
    note: str = ""  # what it waits for, why it failed
    facts: Mapping[str, Any] = field(default_factory=dict)  # what its steps must remember, plain values
    began_at: datetime | None = None
    ended_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Tell whether its next step may be done; what a wrong clock put off is not waited for."""
        return self.due_at <= now or self.due_at > now + LONGEST_WAIT


@dataclass(frozen=True, slots=True)
class JobPart:
    """What a job does with one node, or (with *node* "") with what all of them share; not journalled."""

    job: int
    node: str
    step: str = ""
    outcome: Outcome = Outcome.OPEN
    since: datetime | None = None  # in this step
    tries: int = 0
    octets: int = 0  # done of this step
    size: int = 0  # of this step; 0 where it has none
    rate: int = 0  # octets/s just now
    note: str = ""  # why it failed, what it does
    word: str = ""  # what the node itself said last: "verified"
    word_detail: str = ""
    word_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may work on something, and until when; lost when that time is over without a renewal."""

    name: str  # "job/17"
    holder: str
    until: datetime
