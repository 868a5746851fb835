"""What is done to LUNs again and again: the target is reminded of what it exports, clones are swept.

A thread of its own, beside the calendar's: a target that does not answer holds up nobody.
"""

import threading
import time
from collections.abc import Callable

from bootd.drivers.errors import DriverError
from bootd.drivers.lun import LunBackend, LunsNotRestored
from bootd.errors import BootdError
from bootd.events import InternalError, LunsRestored, LunsSwept
from bootd.services.lunsweep import Swept, sweep
from bootd.store import Store
from bootd.telemetry import Emit
from bootd.workers.calendar import Trouble
from bootd.workers.lunroom import RoomWatch
from bootd.workers.work import ACTOR

LOOK_EVERY_S = 10.0  # for so long at most a target that was restarted lets nobody in
AWAY_S = 2.0  # and when it was seen to be away
SWEEP_EVERY_S = 600.0
TARGET, SWEEP, ROOM = "luns", "luns-sweep", "luns-room"  # topics of trouble
_PATIENCE_S = 15.0  # a target that does not answer is given up after ten
_NAMED = 8  # volumes in one event


class LunDuty:
    """See above. *trouble* and *emit* are called on its thread."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        backend: Callable[[], LunBackend],
        *,
        trouble: Trouble,
        emit: Emit,
        room: Callable[[], int | None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*room* says how many octets are left where volumes lie, None where that is not known here."""
        self._open_store, self._backend = open_store, backend
        self._trouble, self._emit, self._monotonic = trouble, emit, monotonic
        self._room = RoomWatch(open_store, room)
        self._swept_at: float | None = None
        self._left: frozenset[str] = frozenset()  # by the last sweep
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="luns", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(LOOK_EVERY_S if self.look() else AWAY_S)

    def look(self) -> bool:
        """Do what is due, and return whether the target was there.

        Whatever goes wrong is said, and the next look is another try.
        """
        is_there = True
        try:
            is_there = self._restore()
            if is_there:
                self._look_for_room()
                self._sweep_if_due()
        except Exception as error:  # noqa: BLE001  a bug must not keep the target from being looked after
            self._emit(InternalError(where="luns", text=repr(error)))
            self._trouble(TARGET, f"LUNs are not looked after: internal error: {error!r}")
        return is_there

    def _restore(self) -> bool:
        """Have the target export what it should; False where it is away. One bad export holds up nothing."""
        try:
            restored = self._backend().restore()
            self._trouble(TARGET, "")
        except LunsNotRestored as error:
            restored = error.restored
            self._trouble(TARGET, f"machines find no LUN to boot from: {error}")
        except BootdError as error:
            self._trouble(TARGET, f"machines may find no LUN to boot from: {error}")
            return False
        if restored:
            more = f" and {len(restored) - _NAMED} more" if len(restored) > _NAMED else ""
            self._emit(LunsRestored(volumes=", ".join(restored[:_NAMED]) + more))
        return True

    def _look_for_room(self) -> None:
        """Say in time that clones will run out of space, to a machine a broken disk; and which did."""
        try:
            self._trouble(ROOM, self._room.look(self._backend()))
        except BootdError as error:
            self._trouble(ROOM, f"it is not known whether LUNs have room left: {error}")

    def _sweep_if_due(self) -> None:
        now = self._monotonic()
        if self._swept_at is not None and now - self._swept_at < SWEEP_EVERY_S:
            return
        try:
            with self._open_store() as store:
                swept = sweep(store, self._backend(), ACTOR)
        except DriverError as error:
            self._trouble(SWEEP, f"clones that nobody needs are not deleted: {error}")
            return
        except BootdError as error:
            self._trouble(SWEEP, f"clones that nobody needs are not looked for: {error}")
            return
        self._swept_at = now
        self._trouble(SWEEP, "")
        self._say(swept)

    def _say(self, swept: Swept) -> None:
        """Say what went, and once what stays."""
        left = frozenset(each.volume for each in swept.left)
        if swept.removed or left - self._left:
            named = "; ".join(f"{each.volume}: {each.why}" for each in swept.left[:_NAMED])
            self._emit(LunsSwept(removed=len(swept.removed), left=named))
        self._left = left
