"""Figures and the table they are printed as."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """The same measured on another server, round by round beside ours."""

    name: str
    samples: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what was measured, once a round."""

    what: str
    samples: tuple[float, ...]
    unit: str
    goal: str = ""  # as the project set it itself; "" where it set none
    peer: Peer | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float | None:
        """Return ours over the peer's; the median of the rounds' ratios.

        Rounds alternate, so what else the machine did at that time weighs on both
        sides of a round's ratio and mostly falls out of it.
        """
        if self.peer is None:
            return None
        pairs = zip(self.samples, self.peer.samples, strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def as_dict(self) -> dict[str, object]:
        """Return the row with every sample, for machines."""
        row: dict[str, object] = {
            "what": self.what,
            "unit": self.unit,
            "median": self.median,
            "samples": list(self.samples),
            "goal": self.goal,
        }
        if self.peer is not None:
            row |= {
                "ratio": self.ratio,
                "peer": self.peer.name,
                "peer_median": statistics.median(self.peer.samples),
                "peer_samples": list(self.peer.samples),
            }
        return row


HEADER = ("what", "median", "min – max", "goal", "ratio", "peer")


def cells(figure: Figure) -> tuple[str, ...]:
    """Return the texts of one row, in the order of `HEADER`."""
    ratio, peer = figure.ratio, figure.peer
    low, high = min(figure.samples), max(figure.samples)
    return (
        figure.what,
        f"{_number(figure.median)} {figure.unit}",
        f"{_number(low)} – {_number(high)}" if len(figure.samples) > 1 else "",
        figure.goal,
        "" if ratio is None else f"{ratio:.3f}",
        "" if peer is None else f"{peer.name} {_number(statistics.median(peer.samples))} {figure.unit}",
    )


def table(figures: Iterable[Figure]) -> str:
    """Return *figures* as lines for people."""
    rows: list[Sequence[str]] = [HEADER, *map(cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def as_json(figures: Iterable[Figure], **machine: object) -> str:
    """Return *figures* and what is known of the machine as one JSON document."""
    return json.dumps({"machine": machine, "figures": [figure.as_dict() for figure in figures]}, indent=2)


def _number(value: float) -> str:
    """Return three significant digits, no fewer than the whole part has."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
