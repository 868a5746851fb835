"""bootd's HTTP server on a thread of its own, for tests that block."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.helpers.web import Site, running


@contextmanager
def in_thread(site: Site) -> Iterator[int]:
    """Serve *site* while the block lasts; gives the port."""
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running(site):
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield site.port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
