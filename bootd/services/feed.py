"""Keeps the daemon's picture of the store fresh: poked after each commit, and looking once a second."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bootd.boot.snapshot import Policy, Snapshot, apply_changes
from bootd.errors import BootdError
from bootd.store import Store

LOOK_EVERY_S = 1.0  # the safety net for a commit whose poke was lost

Publish = Callable[[Snapshot, float], None]  # snapshot, seconds it took


def open_poke_socket(path: Path) -> socket.socket:
    """Return the datagram socket that commits poke; a leftover of a killed daemon is replaced."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.bind(str(path))
        path.chmod(0o600)
    except BaseException:
        sock.close()
        raise
    return sock


class SnapshotFeed:
    """A thread with its own store connection that publishes every newer snapshot.

    *publish* and *trouble* are called on that thread. *trouble* gets what is wrong
    with the store, and "" once it is well again; the last good snapshot stays in use.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        policy: Policy,
        *,
        poked: socket.socket,
        publish: Publish,
        trouble: Callable[[str], None],
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_store = open_store
        self._policy = policy
        self._poked = poked
        self._publish = publish
        self._trouble, self._looked = trouble, looked
        self._current = Snapshot(policy=policy)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshot-feed", daemon=True)

    def start(self) -> Snapshot:
        """Load the first snapshot, begin to follow, and return it. Raises `BootdError`."""
        with self._open_store() as store:
            self._current = store.load_snapshot(self._policy)
        self._thread.start()
        return self._current

    def wake(self) -> None:
        """Look at the store now; for whoever committed in this process, from any thread.

        Never waits and never fails: the socket's file may be gone, and then it looks by itself.
        """
        how = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        with suppress(OSError), socket.socket(socket.AF_UNIX, how) as waker:
            waker.sendto(b"look", self._poked.getsockname())

    def stop(self) -> None:
        """End the thread; returns when it has closed its connection."""
        self._stopping.set()
        self.wake()
        self._thread.join()

    def _run(self) -> None:
        self._poked.settimeout(LOOK_EVERY_S)
        while not self._stopping.is_set():
            try:
                with self._open_store() as store:
                    self._follow(store)
            except BootdError as error:
                self._trouble(str(error))
                self._stopping.wait(LOOK_EVERY_S)

    def _follow(self, store: Store) -> None:
        """Publish until told to stop; raises `BootdError` when the store does."""
        seen = -1
        while not self._stopping.is_set():
            version = store.data_version()
            if version != seen:
                seen = version
                self._refresh(store)
                self._trouble("")
                self._looked()
            self._wait()

    def _refresh(self, store: Store) -> None:
        begun = time.perf_counter()
        changes = store.changes_since(self._current.generation)
        if changes.generation == self._current.generation:
            return  # something was written that nothing is decided by
        self._current = apply_changes(self._current, changes)
        self._publish(self._current, time.perf_counter() - begun)

    def _wait(self) -> None:
        """Return at a poke, or when it is time to look anyway."""
        try:
            self._poked.recv(64)
        except TimeoutError:
            return
