"""What a machine's deeds prove: that it came further, and that a one-shot order was carried out."""

from collections.abc import Callable
from typing import TypeVar

from bootd.boot.attempt import Attempts
from bootd.boot.loops import LoopGuard
from bootd.boot.snapshot import Snapshot
from bootd.events import (
    Event,
    FileSent,
    LocalBootStarted,
    LoopSuspected,
    NodeReported,
    ScriptSent,
    TftpReadCompleted,
)
from bootd.model import Override, TargetKind
from bootd.telemetry import Emit

_ATTEMPTS = 4096  # under way at one time; the oldest is forgotten first
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

UseUp = Callable[[int, str], None]  # id of the override, what proved it


class Evidence:
    """Listens to events; tells the loop guard and uses overrides up.

    A memory image counts as booted when each of its files went out whole, or the node
    reported. The local disk sends nothing: its iPXE script says so just before it starts
    it (a machine that first loads our iPXE fetches that script twice), and for loaders
    that cannot say anything the fetch of their file must do.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        attempts: Attempts,
        loops: LoopGuard,
        use_up: UseUp,
        emit: Emit,
        monotonic: Callable[[], float],
        mac_at: Callable[[str], str] = lambda address: "",
    ) -> None:
        """*mac_at* says which machine has an IPv4 address, "" where nobody knows."""
        self._mac_at = mac_at
        self._snapshot = snapshot
        self._attempts = attempts
        self._loops = loops
        self._use_up = use_up
        self._emit = emit
        self._monotonic = monotonic
        self._fetched: dict[str, set[str]] = {}  # attempt -> paths that went out whole
        self._named: dict[int, set[frozenset[str]]] = {}  # override -> versions of its image in scripts

    def take(self, event: Event) -> None:
        """Draw the conclusions of *event*."""
        if isinstance(event, ScriptSent):
            self._script(event)
        elif isinstance(event, FileSent):
            self._file(event)
        elif isinstance(event, LocalBootStarted):
            self._went(event)
        elif isinstance(event, NodeReported):
            self._loops.progress(event.mac)
            if event.override is not None:
                self._use_up(event.override, f"the node reported {event.state}")
        elif isinstance(event, TftpReadCompleted) and event.mac and self._is_loader(event):
            self._note(event.mac, event.host, f"loader {event.filename}")

    def _script(self, event: ScriptSent) -> None:
        # anyone may fetch anybody's script: a stranger's questions are not held against the machine
        is_own = self._mac_at(event.client) in ("", event.mac)
        if is_own and not event.answer.startswith("diagnose"):
            self._note(event.mac, event.host, event.answer)
        override = self._override(event.host, event.override)
        if override is None:
            return
        if override.target.kind is not TargetKind.LOCAL:
            self._named.setdefault(override.id, set()).update(self._versions_of(override))
            _forget_oldest(self._named)
        elif event.dialect != "ipxe":
            self._use_up(override.id, "the machine fetched its local boot script")

    def _went(self, event: LocalBootStarted) -> None:
        override = self._override(event.host, event.override)
        if override is not None and override.target.kind is TargetKind.LOCAL:
            self._use_up(override.id, "the machine started its own disk")

    def _file(self, event: FileSent) -> None:
        attempt = self._attempts.check(event.attempt) if event.complete and event.attempt else None
        if attempt is None:
            return
        self._loops.progress(attempt.mac)
        override = self._override(event.host, attempt.override)
        if override is None:
            return
        fetched = self._fetched.setdefault(event.attempt, set())
        fetched.add(event.path)
        # the image may have been replaced while the machine fetched what its script names
        versions = self._versions_of(override) | self._named.get(override.id, set())
        if any(fetched >= version for version in versions):
            del self._fetched[event.attempt]
            self._use_up(override.id, "every file of the image was fetched")
        _forget_oldest(self._fetched)

    def _versions_of(self, override: Override) -> set[frozenset[str]]:
        """Return the files of the image that *override* names now; none where it is gone."""
        image = self._snapshot().memory_images.get(override.target.name)
        return {frozenset(file.path for file in image.files)} if image is not None else set()

    def _override(self, host: str, override: int | None) -> Override | None:
        """Return the order *override* of *host* if it still stands."""
        standing = self._snapshot().overrides.get(host)
        return standing if standing is not None and standing.id == override else None

    def _is_loader(self, event: TftpReadCompleted) -> bool:
        snapshot = self._snapshot()
        host = snapshot.hosts.get(event.host)
        own = host.settings.get("loader") if host is not None else None
        return event.filename == own or event.filename in snapshot.policy.loaders.values()

    def _note(self, mac: str, host: str, answer: str) -> None:
        times = self._loops.note(mac, answer, self._monotonic())
        if times == self._snapshot().policy.repeat_limit:
            self._emit(LoopSuspected(mac=mac, host=host, answer=answer, repeats=times))


def _forget_oldest(table: dict[_Key, set[_Value]]) -> None:
    while len(table) > _ATTEMPTS:
        del table[next(iter(table))]
