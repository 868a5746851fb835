"""Machines of a job switched in windows, by micro-steps: asked to reset, power-cycled, given up.

Planning is pure: `plan` says from the parts, the time and the words heard which machines are
switched now and when to look again. `step` carries that out. It writes an intent down before it
calls a driver and the result afterwards, so that whoever goes on after a kill knows which machines
may have been started already, and leaves alone those that were heard of since.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bootd.drivers.errors import DriverError
from bootd.drivers.power import PowerRefused, Powers, PowerState, ResetKind, in_windows
from bootd.model import Host, JobPart, Outcome
from bootd.store import Reads
from bootd.workers.settings import Settings
from bootd.workers.work import Work, lease_name

# Steps of a machine, in JobPart.step
QUEUED = "queued"  # waits for its window, to be asked to reset
RESETTING = "resetting"  # intent: the order may have been given
RESET = "reset"  # the order was taken
OVERDUE = "overdue"  # waits for its window, to have its power cycled
CYCLING = "cycling"  # intent
CYCLED = "cycled"
LEFT = "left"  # nobody can switch it; it may come up by itself

_WAITING = {QUEUED: RESETTING, OVERDUE: CYCLING}
_TAKEN = {RESETTING: RESET, CYCLING: CYCLED}
_BACK = {intent: waiting for waiting, intent in _WAITING.items()}
_REFUSED = {RESETTING: OVERDUE, CYCLING: LEFT}
SWITCHED = frozenset(_TAKEN.values())
STARTING = frozenset({*_TAKEN, *SWITCHED})  # its order was given, or may have been

MOST_TRIES = 8  # of one micro-step whose switch does not answer
RETRY_S = 15.0
POLL_S = 5.0  # a word may come at any time
_LEASE_S = 120.0  # longer than any one call of a power driver
_SHOW_S = 5.0
_BY, _WINDOW_AT = "switched_by", "window_at"  # facts: who wrote the intents, when the last window began


class PowerInUse(DriverError):
    """Another job is switching the machine at this moment."""

    code = "power-in-use"
    is_permanent = False

    def __init__(self, node: str) -> None:
        super().__init__(f"{node}: another job is switching it")


@dataclass(frozen=True, slots=True)
class Manner:
    """How the machines of a job are switched, and whether a word of theirs is awaited afterwards."""

    begins: str = QUEUED
    reset: ResetKind = ResetKind.SOFT
    awaited: bool = True


ASKED = Manner()  # its system may write down what it has in mind, and must say that it is back
FORCED = Manner(reset=ResetKind.HARD, awaited=False)  # what it runs has no say, and nothing is to be heard
CYCLED_ONCE = Manner(begins=OVERDUE, awaited=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done just now."""

    parts: tuple[JobPart, ...]  # that have changed: machines heard of, and times that are over
    window: tuple[str, ...]  # machines to be switched
    wait_s: float | None  # until the next look; None: there is nothing left to wait for


def begin(part: JobPart, now: datetime, manner: Manner = ASKED) -> JobPart:
    """Return *part* as it waits for its first window."""
    return replace(part, step=manner.begins, outcome=Outcome.OPEN, since=now, tries=0, note="")


def spared(part: JobPart, now: datetime, manner: Manner = ASKED) -> JobPart:
    """Return *part* as if its machine had been switched: it runs already what it would be started for."""
    return replace(begin(part, now, manner), step=_TAKEN[_WAITING[manner.begins]])


def plan(
    parts: Sequence[JobPart],
    now: datetime,
    settings: Settings,
    *,
    up: Collection[str] = (),
    held: Collection[str] = (),
    last_window_at: datetime | None = None,
    manner: Manner = ASKED,
) -> Turn:
    """Return what is due. *up*: machines whose word was heard; *held*: not to be switched just yet.

    Parts with steps of other kinds are left alone. A machine that was given up and is heard of
    all the same is in the set ok after all.
    """
    after = [_aged(part, now, settings, part.node in up, manner) for part in parts]
    changed = tuple(new for new, old in zip(after, parts, strict=True) if new != old)
    queue = [part.node for part in after if part.node not in held and _is_due(part, now)]
    gap_s = _gap_s(last_window_at, now, settings.window_pause_s)
    if queue and gap_s <= 0:
        first = in_windows(queue, settings.window, settings.window_pause_s)[0]
        return Turn(changed, first.nodes, 0.0)
    if not any(_is_open(part, manner) for part in after):
        return Turn(changed, (), None)
    return Turn(changed, (), min(_waits(after, now, settings, gap_s if queue else POLL_S, manner)))


def _aged(part: JobPart, now: datetime, settings: Settings, is_up: bool, manner: Manner) -> JobPart:
    """Return the part as words and time have made it."""
    if manner.awaited and is_up and part.step in (*STARTING, *_WAITING, LEFT):
        is_known = part.outcome is Outcome.OK
        return part if is_known else replace(part, outcome=Outcome.OK, since=now, note="")
    if part.outcome is not Outcome.OPEN or part.since is None:
        return part
    if part.since > now:  # the clock was set back
        return replace(part, since=now)
    if not manner.awaited or now < part.since + timedelta(seconds=settings.up_s):
        return part
    silence = f"no word for {settings.up_s:g} s after"
    if part.step == RESET:
        return replace(part, step=OVERDUE, since=now, tries=0, note=f"{silence} a {manner.reset} reset")
    if part.step == CYCLED:
        return replace(part, outcome=Outcome.TIMED_OUT, note=f"{silence} its power was cycled")
    if part.step == LEFT:
        return replace(part, outcome=Outcome.FAILED)
    return part


def _is_due(part: JobPart, now: datetime) -> bool:
    """Tell whether the machine may be switched; one whose switch did not answer is given a while."""
    if part.step not in _WAITING or part.outcome is not Outcome.OPEN:
        return False
    return not part.tries or part.since is None or now >= part.since + timedelta(seconds=RETRY_S)


def _is_open(part: JobPart, manner: Manner) -> bool:
    open_steps = {*_WAITING, *_TAKEN} | ({*SWITCHED, LEFT} if manner.awaited else set())
    return part.outcome is Outcome.OPEN and part.step in open_steps


def _waits(
    parts: Sequence[JobPart], now: datetime, settings: Settings, first: float, manner: Manner
) -> Iterator[float]:
    yield min(POLL_S, first)
    for part in parts:
        if _is_open(part, manner) and part.since is not None and part.step in (*SWITCHED, LEFT):
            left = part.since + timedelta(seconds=settings.up_s) - now
            yield max(0.1, left.total_seconds())


def _gap_s(last: datetime | None, now: datetime, pause_s: float) -> float:
    """Return how long the next window must wait; a clock that was set back holds up nobody."""
    if last is None or last > now:
        return 0.0
    return pause_s - (now - last).total_seconds()


# -- carrying it out --------------------------------------------------------------------------


def step(
    work: Work,
    nodes: Sequence[str],
    *,
    up: Collection[str] = (),
    held: Collection[str] = (),
    manner: Manner = ASKED,
) -> bool:
    """Do what is due for *nodes*, and commit; False, without a commit, where nothing is left to do.

    Then their outcomes, or with a manner that awaits nothing their steps, say what became of them.
    """
    intents = [node for node in nodes if work.part(node).step in _TAKEN]
    if intents and _is_resumed(work):
        _recover(work, intents)
        return True
    if intents:
        _carry_out(work, intents, manner)
        return True
    held = {*held, *_held_by_others(work, nodes)}
    last = work.fact(_WINDOW_AT)
    turn = plan(
        [work.part(node) for node in nodes],
        work.now,
        work.context.settings,
        up=up,
        held=held,
        last_window_at=datetime.fromisoformat(last) if last else None,
        manner=manner,
    )
    work.note_parts(*turn.parts)
    if turn.wait_s is None:
        return False
    _commit(work, nodes, turn)
    return True


def _commit(work: Work, nodes: Sequence[str], turn: Turn) -> None:
    """Write down who is to be switched now: nobody is switched without it."""
    now = work.now
    for node in turn.window:
        work.note_parts(replace(work.part(node), step=_WAITING[work.part(node).step], since=now))
    facts = {_BY: work.context.holder, _WINDOW_AT: now.isoformat()} if turn.window else {}
    note = tally(work, nodes)
    with work.commit(wait_s=turn.wait_s or 0.0, note=note, facts=facts) as change:
        until = now + timedelta(seconds=_LEASE_S)
        for node in turn.window:
            if not change.take_lease(power_lease(node), lease_name(work.job.id), now=now, until=until):
                raise PowerInUse(node)


def power_lease(node: str) -> str:
    """Return the lease without which a machine is not switched: calls for one machine wait for each other."""
    return f"power/{node}"


def _held_by_others(work: Work, nodes: Sequence[str]) -> list[str]:
    mine, now = lease_name(work.job.id), work.now
    waiting = [node for node in nodes if work.part(node).step in _WAITING]
    latest = now + timedelta(seconds=_LEASE_S)
    taken = {
        lease.name for lease in work.store.leases() if lease.holder != mine and now < lease.until <= latest
    }
    return [node for node in waiting if power_lease(node) in taken]


def _is_resumed(work: Work) -> bool:
    """Tell whether the orders may have been given by somebody who could not write that down."""
    return work.fact(_BY) != work.context.holder or bool(work.fact("tries", 0))


def _recover(work: Work, nodes: Sequence[str]) -> None:
    """Go on after a kill: who was heard of since the intent is starting, the others are switched again."""
    for node in nodes:
        part = work.part(node)
        is_starting = part.since is not None and is_heard_since(work.store, node, part.since)
        after = _TAKEN[part.step] if is_starting else _BACK[part.step]
        work.note_parts(replace(part, step=after, since=part.since if is_starting else work.now))
    with work.commit(facts={_BY: work.context.holder}):
        pass


def is_heard_since(reads: Reads, node: str, at: datetime) -> bool:
    """Tell whether the machine has asked for anything since *at*: then it was started."""
    return any(kept.observation.at >= at for kept in reads.observations(host=node, limit=1))


def _carry_out(work: Work, nodes: Sequence[str], manner: Manner) -> None:
    """Give the orders that were written down, and write down what came of them."""
    errors = _orders(work, nodes, manner)
    now = work.now
    for node in nodes:
        work.note_parts(_result(work.part(node), errors.get(node), now))
    with work.commit(note=tally(work, nodes), facts={_BY: ""}) as change:
        for node in nodes:
            change.drop_lease(power_lease(node), lease_name(work.job.id))


def _result(part: JobPart, error: DriverError | None, now: datetime) -> JobPart:
    if error is None:
        return replace(part, step=_TAKEN[part.step], since=now, tries=0, note="")
    if error.is_permanent or part.tries + 1 >= MOST_TRIES:
        return replace(part, step=_REFUSED[part.step], since=now, tries=0, note=str(error))
    return replace(part, step=_BACK[part.step], since=now, tries=part.tries + 1, note=str(error))


def _orders(work: Work, nodes: Sequence[str], manner: Manner) -> Mapping[str, DriverError]:
    """Switch the machines side by side; return whose order was not taken, and why."""
    hosts = {node: work.store.host(node) for node in nodes}
    powers, hands = work.context.powers, min(len(nodes), work.context.settings.hands)
    told = {node: (powers, node, hosts[node], work.part(node).step, manner.reset) for node in nodes}
    if hands == 1:
        return {node: error for node in nodes if (error := _order(*told[node])) is not None}
    with ThreadPoolExecutor(hands, "power") as pool:
        futures = {node: pool.submit(_order, *told[node]) for node in nodes}
        while wait(futures.values(), timeout=_SHOW_S).not_done:
            work.show()
    return {node: error for node, future in futures.items() if (error := future.result()) is not None}


def _order(powers: Powers, node: str, host: Host | None, intent: str, reset: ResetKind) -> DriverError | None:
    try:
        if host is None:
            raise PowerRefused(node, "no such host any more")
        power = powers.of(host)
        if power.state(host) is PowerState.OFF:
            power.on(host)
        elif intent == CYCLING:
            power.cycle(host)
        else:
            power.reset(host, reset)
    except DriverError as error:
        return error
    return None


# -- for people -------------------------------------------------------------------------------


def tally(work: Work, nodes: Sequence[str]) -> str:
    """Return how far *nodes* are, in a line."""
    parts = [work.part(node) for node in nodes]
    counts = {
        "ok": sum(part.outcome is Outcome.OK for part in parts),
        "starting": sum(part.outcome is Outcome.OPEN and part.step in STARTING for part in parts),
        "to be switched": sum(part.outcome is Outcome.OPEN and part.step in _WAITING for part in parts),
        "cannot be switched": sum(part.outcome is Outcome.OPEN and part.step == LEFT for part in parts),
        "waiting": sum(
            part.outcome is Outcome.OPEN and part.step not in (*STARTING, *_WAITING, LEFT) for part in parts
        ),
        "failed": sum(part.outcome in (Outcome.FAILED, Outcome.TIMED_OUT) for part in parts),
    }
    return f"{len(nodes)} nodes: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def verdict(work: Work) -> str:
    """Return the event that ends the job, by the outcomes of its nodes."""
    ok = len(work.nodes(Outcome.OK))
    if ok == len(work.job.nodes):
        return "finish"
    return "finish-partly" if ok else "fail"
