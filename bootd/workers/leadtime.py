"""How long before a start its image must be on the way, learned from the jobs that were. Pure.

What is known before the first job, sizes and rates, gives a guess; past jobs say how much longer or
shorter than their own guess they took, and the slower ones of the last years' worth count.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bootd.model import Job, JobKind
from bootd.services.jobs import OCTETS

LONGEST = timedelta(hours=24)  # a job that hung for a week does not make every next one start a week ahead
LAST = 20  # so many past jobs are looked at
_FLOOR_S = {JobKind.STAGE_LUN: 300.0, JobKind.WRITE_SLOT: 900.0}
_UNKNOWN_MARGIN, _MARGIN = 2.0, 1.5  # without a past, and with one
_SLOW = 0.8  # of ten past jobs the second slowest counts
_NOTHING_COPIED = 0.02  # of the guess: the image was there already, which teaches nothing

_DISK = 50e6  # octets/s of a LUN, written and read back
_SETUP_S, _PER_CLONE_S = 30.0, 5.0  # the setup keeps a tiny image that was slow from counting as a slow site
_BOOT_S = 300.0  # machines boot the system that writes their disks
_LINE_SHARE = 0.7  # of the rate of a session that is image


@dataclass(frozen=True, slots=True)
class Past:
    """A job that was."""

    kind: JobKind
    octets: int  # of the image
    nodes: int
    seconds: float  # from its beginning to its end


@dataclass(frozen=True, slots=True)
class Pace:
    """What the site allows."""

    rate: int = 100_000_000  # bit/s of a session
    window: int = 8  # machines switched together
    window_pause_s: float = 10.0
    stage_ahead_s: float = 0.0  # a LUN is staged so long before at the least: that disturbs nobody


def guess_s(kind: JobKind, octets: int, nodes: int, pace: Pace) -> float:
    """Return how long a job takes where all goes well."""
    if kind is JobKind.STAGE_LUN:
        return _SETUP_S + 2 * octets / _DISK + nodes * _PER_CLONE_S
    windows = math.ceil(nodes / max(1, pace.window))
    return _BOOT_S + windows * pace.window_pause_s + 8 * octets / (pace.rate * _LINE_SHARE)


def lead_time(
    kind: JobKind, octets: int, nodes: int, past: Iterable[Past] = (), pace: Pace | None = None
) -> timedelta:
    """Return how long before its start a reservation's image has to begin its way."""
    pace = pace or Pace()
    ratios = _ratios(kind, past, pace)
    factor = _MARGIN * _slow(ratios) if ratios else _UNKNOWN_MARGIN
    wished_s = pace.stage_ahead_s if kind is JobKind.STAGE_LUN else 0.0
    seconds = max(_FLOOR_S[kind], wished_s, factor * guess_s(kind, octets, nodes, pace))
    return timedelta(seconds=math.ceil(min(seconds, LONGEST.total_seconds())))


def _ratios(kind: JobKind, past: Iterable[Past], pace: Pace) -> list[float]:
    """Return how much longer than its guess each past job took, the quickest first."""
    of_kind = [each for each in past if each.kind is kind and each.octets > 0 and each.seconds > 0]
    taken = (each.seconds / guess_s(kind, each.octets, each.nodes, pace) for each in of_kind[:LAST])
    return sorted(ratio for ratio in taken if ratio > _NOTHING_COPIED)


def _slow(ratios: Sequence[float]) -> float:
    return ratios[min(len(ratios) - 1, math.floor(len(ratios) * _SLOW))]


def learned(jobs: Iterable[Job]) -> list[Past]:
    """Return what jobs that ended well tell, the newest first."""
    return [
        Past(job.kind, octets, len(job.nodes), (job.ended_at - job.began_at).total_seconds())
        for job in jobs
        if job.state in ("done", "partly") and job.began_at is not None and job.ended_at is not None
        if isinstance(octets := job.facts.get(OCTETS), int)
    ]
