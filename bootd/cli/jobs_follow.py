"""A job as it goes on: a table that changes on a terminal, lines of what changed in a pipe."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, tzinfo
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bootd.model import Job, JobPart, Outcome
from bootd.services import jobs as service
from bootd.services.jobs import is_since_call
from bootd.store import Reads
from bootd.units import size_text

if TYPE_CHECKING:
    from rich.console import Console, Group

_STEPS = 10  # a line each time so many percent more are done


class Page(AbstractContextManager["Page"]):
    """Something that shows a job again and again."""

    def show(self, job: Job, parts: Sequence[JobPart]) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        return None


def follow_job(reads: Reads, number: int, page: Page, wait: Callable[[], None]) -> Job:
    """Show the job until it has ended, and return it as it ended."""
    while True:
        job = service.find(reads, number)
        page.show(job, reads.job_parts(number))
        if job.state in service.OVER:
            return job
        wait()


def percent(part: JobPart) -> int | None:
    """Return how much of its step is done; None where that is not counted."""
    return min(100, 100 * part.octets // part.size) if part.size else None


def eta_text(part: JobPart) -> str:
    """Return how long its step still takes at the rate of just now: ``4:05`` minutes; "" if unknown."""
    if not part.rate or not part.size or part.octets >= part.size:
        return ""
    minutes, seconds = divmod(round((part.size - part.octets) / part.rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def rate_text(part: JobPart) -> str:
    return f"{size_text(part.rate)}/s" if part.rate else ""


def word_text(job: Job, part: JobPart) -> str:
    """Return what the node itself said last, since it was called: ``says writing 37 %``; "" if nothing."""
    if not part.word or not is_since_call(job, part):
        return ""
    detail = f" {part.word_detail} %" if part.word_detail.isdecimal() else ""
    return f"says {part.word}{detail}" if part.outcome is Outcome.OPEN else f"said {part.word}"


def headline(job: Job) -> str:
    step = f": {job.step}" if job.state == "running" and job.step else ""
    words = [f"job {job.id}", str(job.kind), f"{job.state}{step}", job.note]
    if job.reservation is not None:
        words.insert(2, f"reservation {job.reservation}")
    return "  ".join(word for word in words if word)


# -- lines -----------------------------------------------------------------------------------


class _Lines(Page):
    """A line for each thing that changed; *say* prints one."""

    def __init__(self, say: Callable[[str], Any], line: Callable[[Job, JobPart | None], str]) -> None:
        self._say, self._line = say, line
        self._seen: dict[str | None, object] = {}

    def show(self, job: Job, parts: Sequence[JobPart]) -> None:
        if job.state in service.OPEN:
            self._tell_job(job)
        for part in parts:
            done = percent(part)
            tenth = None if done is None else done // _STEPS
            standing = (part.step, part.outcome, part.note, part.word, tenth)
            if (part.node in self._seen) or any(standing):
                self._tell(part.node, standing, lambda part=part: self._line(job, part))  # type: ignore[misc]
        self._tell_job(job)  # its end comes last

    def _tell_job(self, job: Job) -> None:
        self._tell(None, (job.state, job.step, job.note), lambda: self._line(job, None))

    def _tell(self, key: str | None, standing: object, line: Callable[[], str]) -> None:
        if self._seen.get(key) != standing:
            self._seen[key] = standing
            self._say(line())


def lines(say: Callable[[str], Any], zone: tzinfo, *, as_json: bool = False) -> Page:
    """Return a page that prints what changed, line by line."""
    if as_json:
        return _Lines(say, _as_json)
    return _Lines(say, lambda job, part: _as_text(job, part, datetime.now(zone)))


def _as_text(job: Job, part: JobPart | None, now: datetime) -> str:
    if part is None:
        return f"{now:%H:%M:%S}  {headline(job)}"
    done = percent(part)
    words = [
        part.node or "(all)",
        part.step,
        "" if done is None else f"{done} %",
        rate_text(part),
        f"{eta_text(part)} left" if eta_text(part) else "",
        str(part.outcome),
        part.note,
        word_text(job, part),
    ]
    return f"{now:%H:%M:%S}  " + "  ".join(word for word in words if word)


def _as_json(job: Job, part: JobPart | None) -> str:
    row: dict[str, object] = {"job": job.id, "state": job.state, "step": job.step, "note": job.note}
    if part is not None:
        row |= {
            "node": part.node or None,
            "step": part.step,
            "outcome": str(part.outcome) or None,
            "octets": part.octets,
            "size": part.size,
            "rate": part.rate,
            "word": part.word or None,
            "note": part.note,
        }
    return json.dumps(row)


# -- a terminal --------------------------------------------------------------------------------


class LivePage(Page):
    """A table that is drawn anew in its place."""

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console()
        self._live: Live = Live(console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, where)

    def show(self, job: Job, parts: Sequence[JobPart]) -> None:
        self._live.update(table(job, parts, most=max(5, self._console.height - 6)))


def table(job: Job, parts: Sequence[JobPart], *, most: int) -> "Group":
    """Return the job as rich draws it, at most so many nodes: those that are not ok come first."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("NODE", "STEP", "", "DONE", "RATE", "LEFT", "NOTE"):
        grid.add_column(header, justify="right" if header in ("DONE", "RATE", "LEFT") else "left")
    ordered = sorted(parts, key=lambda part: (part.node != "", part.outcome == "ok", part.node))
    for part in ordered[:most]:
        done = percent(part)
        words = [text for text in (str(part.outcome), part.note, word_text(job, part)) if text]
        grid.add_row(
            Text(part.node or "(all)"),
            Text(part.step),
            ProgressBar(total=100, completed=done or 0, width=20) if done is not None else "",
            "" if done is None else f"{done} %",
            rate_text(part),
            eta_text(part),
            Text(": ".join(words)),
        )
    rest = len(ordered) - most
    return Group(Text(headline(job), style="bold"), grid, *([Text(f"… and {rest} more")] if rest > 0 else []))
