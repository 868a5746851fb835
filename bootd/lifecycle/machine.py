"""A table of moves, and the one question asked of it: where does this event lead?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bootd.errors import BootdError


class IllegalMove(BootdError):
    """The thing is not in a state in which this can happen to it."""

    code = "illegal-move"

    def __init__(self, lifecycle: str, state: str, event: str, allowed: Sequence[str]) -> None:
        now = f"now only: {', '.join(allowed)}" if allowed else "nothing moves it any more"
        super().__init__(f"a {lifecycle} that is {state} cannot {event}; {now}")
        self.lifecycle, self.state, self.event, self.allowed = lifecycle, state, event, tuple(allowed)


@dataclass(frozen=True, slots=True)
class Move:
    """One arrow: *event* takes the thing from any of *sources* to *target*."""

    event: str  # a verb, as people and the journal say it
    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The states of one kind of thing, the first one its beginning, and how it moves between them."""

    name: str  # as people say it: "disk image"
    states: Mapping[str, str]  # state -> what it means
    moves: tuple[Move, ...]
    _after: Mapping[tuple[str, str], str] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a table that contradicts itself: that is a bug of ours, found at import."""
        after: dict[tuple[str, str], str] = {}
        for move in self.moves:
            for source in move.sources:
                if source not in self.states or move.target not in self.states:
                    raise ValueError(f"{self.name}: {move} names a state that is not in the table")
                if (source, move.event) in after:
                    raise ValueError(f"{self.name}: {source} has two moves {move.event!r}")
                after[source, move.event] = move.target
        object.__setattr__(self, "_after", after)

    @property
    def first(self) -> str:
        """The state things begin in."""
        return next(iter(self.states))

    def after(self, state: str, event: str) -> str:
        """Return the state that *event* leads to; raises `IllegalMove`."""
        target = self._after.get((state, event))
        if target is None:
            raise IllegalMove(self.name, state, event, self.events(state))
        return target

    def events(self, state: str) -> list[str]:
        """Return what can happen to a thing that is in *state*."""
        return [event for source, event in self._after if source == state]

    def is_final(self, state: str) -> bool:
        """Tell whether nothing leads away from *state*."""
        return not self.events(state)

    def mermaid(self) -> str:
        """Return the diagram of the table, for the documentation."""
        lines = ["stateDiagram-v2", f"    [*] --> {_id(self.first)}"]
        for (source, event), target in self._after.items():
            lines.append(f"    {_id(source)} --> {_id(target)}: {event}")
        lines += [f"    {_id(state)} --> [*]" for state in self.states if self.is_final(state)]
        return "\n".join(lines) + "\n"


def _id(state: str) -> str:
    return state.replace("-", "_")
