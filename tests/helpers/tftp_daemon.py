"""The TFTP port as a program: ``python -m tests.helpers.tftp_daemon ROOT``; for tests in namespaces."""

import asyncio
import sys
from pathlib import Path

from bootd.listeners.tftp import TftpListener
from bootd.services.filescan import FileIndex, Root


async def main(root: Path) -> None:
    """Serve *root* on port 69 of all addresses until the standard input ends."""
    index = FileIndex([Root(root)])
    listener = TftpListener(lookup=lambda name, asker: index.lookup(name), emit=lambda event: None)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await listener.aclose()


asyncio.run(main(Path(sys.argv[1])))
