"""The workers of one daemon: threads that do what is booked, and that look after LUNs."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from bootd.config import Config
from bootd.drivers.lun import Way
from bootd.drivers.transport import Network
from bootd.outfit import Outfit, luns_room
from bootd.store import Store
from bootd.telemetry import Emit
from bootd.workers.calendar import Calendar
from bootd.workers.handlers import HANDLERS
from bootd.workers.lunduty import LunDuty

Trouble = Callable[[str, str], None]  # topic, text; "": it is mended


def start_workers(
    config: Config,
    stack: AsyncExitStack,
    open_store: Callable[[], Store],
    *,
    emit: Emit,
    trouble: Trouble,
    committed: Callable[[], None],
    way_to_tgtd: Way,
    network: Network,
    attends: Callable[[str], bool],
) -> Callable[[], None]:
    """Begin to stage, start and end what is booked; return what wakes the calendar. They end with *stack*.

    *emit* and *trouble* are called on the loop that is running now, *committed* on any thread.
    """
    loop = asyncio.get_running_loop()

    def on_loop(call: Callable[..., None], *words: Any) -> None:
        with suppress(RuntimeError):  # a step that took long may outlive the loop
            loop.call_soon_threadsafe(call, *words)

    say, tell = partial(on_loop, emit), partial(on_loop, trouble)
    outfit = Outfit(
        config, say, committed=committed, way_to_tgtd=way_to_tgtd, network=network, attends=attends
    )
    if config["luns.backend"]:
        room = partial(luns_room, config)
        duty = LunDuty(open_store, outfit.luns, trouble=tell, emit=say, room=room)
        duty.start()
        stack.push_async_callback(asyncio.to_thread, duty.stop)
    calendar = Calendar(open_store, outfit, HANDLERS, trouble=tell)
    calendar.start()
    stack.push_async_callback(asyncio.to_thread, calendar.stop)
    return calendar.wake
