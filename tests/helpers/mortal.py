"""A process that dies at a chosen moment: just after any commit, or after any deed of a driver.

Before the next of these nothing changes outside the process, so that these moments are all there are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from bootd.drivers.faults import PowerLost
from bootd.drivers.power import Powers
from bootd.store import Store
from bootd.workers.work import Context
from tests.helpers.world import World

_WRITES = ("on", "off", "reset", "cycle", "boot_once", "create", "clone", "write", "export", "unexport")
_DEEDS = {*_WRITES, "delete", "start", "stop"}  # calls that only ask cannot be died in


class Death:
    """Counts the moments at which a process can die; at the one that was chosen it does."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count, self.moments = at, 0, list[str]()

    def moment(self, what: str) -> None:
        self.count += 1
        self.moments.append(what)
        if self.count == self.at:
            raise PowerLost(what)


class _Driver:
    """A driver whose caller may die just after each deed."""

    def __init__(self, driver: Any, death: Death) -> None:
        self._driver, self._death = driver, death

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._driver, name)
        if name not in _DEEDS:
            return verb

        def deed(*values: Any, **named: Any) -> Any:
            done = verb(*values, **named)
            self._death.moment(f"after {name}")
            return done

        return deed


class _Powers:
    def __init__(self, powers: Powers, death: Death) -> None:
        self._powers, self._death = powers, death

    def of(self, node: Any) -> Any:
        return _Driver(self._powers.of(node), self._death)


class _Store:
    """A store whose user may die before a commit, which then never was, and after it."""

    def __init__(self, store: Store, death: Death) -> None:
        self._store, self._death = store, death

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def transaction(self, actor: str, what: str = "") -> Iterator[Any]:
        with self._store.transaction(actor, what) as change:
            yield change
        self._death.moment(f"after commit: {what}")


def mortal(context: Context, death: Death) -> Context:
    """Return *context* with *death* in everything that it does to the world."""
    luns, transport = context.luns(), context.transport()
    return replace(
        context,
        store=cast("Store", _Store(context.store, death)),
        powers=cast("Powers", _Powers(context.powers, death)),
        luns=lambda: cast("Any", _Driver(luns, death)),
        transport=lambda: cast("Any", _Driver(transport, death)),
    )


def live_mortally(world: World, death: Death, hours: float) -> None:
    """Run the world; a worker that dies is followed by another, which knows nothing but the store."""
    end = world.clock() + timedelta(hours=hours)
    context = mortal(world.context("first"), death)
    while world.clock() < end:
        world.live()
        try:
            following = world.tick(context)
        except PowerLost:
            context, following = world.context("second"), None
        world.check()
        world.clock.at = max(world.clock(), min(world._next(following), end))
