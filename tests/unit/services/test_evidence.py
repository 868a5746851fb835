"""Evidence: what proves that a machine came further, and that a one-shot order was carried out."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bootd.boot.attempt import Attempt, Attempts
from bootd.boot.loops import LoopGuard
from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.events import (
    Event,
    FileSent,
    LocalBootStarted,
    LoopSuspected,
    NodeReported,
    ScriptSent,
    TftpReadCompleted,
)
from bootd.model import Override, parse_target
from bootd.services import evidence
from bootd.services.evidence import Evidence
from tests.helpers.site import NOON, a_host, an_image

MAC = a_host().mac
KERNEL, INITRD = (file.path for file in an_image().files)
ORDER = 7
IPXE_LOADER = "undionly.kpxe"


class Scene:
    """Evidence over a site with one host, and what it concluded."""

    def __init__(self, once: str = "memory:debian", *, at: str = "", **host: object) -> None:
        until = NOON + timedelta(hours=1)
        override = Override(ORDER, "node1", parse_target(once), NOON, until)
        self.snapshot = apply_changes(
            Snapshot(policy=Policy(loaders={"x86-bios": IPXE_LOADER})),
            Changes(
                1,
                hosts={"node1": a_host(**host)},
                memory_images={"debian": an_image()},
                overrides={"node1": override},
            ),
        )
        self.now = 0.0
        self.attempts = Attempts(b"secret")
        self.loops = LoopGuard()
        self.used: list[tuple[int, str]] = []
        self.said: list[Event] = []
        self._evidence = Evidence(
            snapshot=lambda: self.snapshot,
            attempts=self.attempts,
            loops=self.loops,
            use_up=lambda override, why: self.used.append((override, why)),
            emit=self.said.append,
            monotonic=lambda: self.now,
            mac_at=lambda address: at,
        )

    def take(self, *events: Event) -> None:
        for event in events:
            self._evidence.take(event)

    @property
    def repeats(self) -> int:
        return self.loops.repeats(MAC, self.now)

    def fetched(
        self, path: str, *, override: int | None = ORDER, complete: bool = True, attempt: str | None = None
    ) -> FileSent:
        text = self.attempts.format(Attempt(MAC, override)) if attempt is None else attempt
        return FileSent(
            mac=MAC,
            host="node1",
            client="10.0.0.1",
            path=path,
            octets=1,
            seconds=0.1,
            complete=complete,
            attempt=text,
        )


def script(answer: str = "memory:debian", override: int | None = ORDER) -> ScriptSent:
    return ScriptSent(
        mac=MAC,
        host="node1",
        client="10.0.0.1",
        dialect="ipxe",
        rule="once",
        answer=answer,
        octets=1,
        override=override,
    )


def loader(filename: str, mac: str = MAC) -> TftpReadCompleted:
    return TftpReadCompleted(
        mac=mac, host="node1", client="10.0.0.1", filename=filename, octets=1, seconds=0.1
    )


# -- one-shot orders ------------------------------------------------------------------------


def test_every_file_of_the_image_uses_the_order_up() -> None:
    scene = Scene()
    scene.take(script(), scene.fetched(KERNEL))
    assert scene.used == []
    scene.take(scene.fetched(INITRD))
    assert scene.used == [(ORDER, "every file of the image was fetched")]


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param({"complete": False}, id="broken-off"),
        pytest.param({"attempt": ""}, id="typed-by-hand"),
        pytest.param({"attempt": f"{ORDER}-525400000001-00000000"}, id="guessed"),
        pytest.param({"override": None}, id="of-a-boot-without-an-order"),
        pytest.param({"override": ORDER - 1}, id="of-an-earlier-order"),
    ],
)
def test_file_that_proves_nothing_leaves_the_order(missing: dict[str, object]) -> None:
    scene = Scene()
    scene.take(scene.fetched(KERNEL), scene.fetched(INITRD, **missing))  # type: ignore[arg-type]
    assert scene.used == []


def test_same_file_twice_is_not_two_files() -> None:
    scene = Scene()
    scene.take(scene.fetched(KERNEL), scene.fetched(KERNEL))
    assert scene.used == []


def test_asking_for_a_memory_image_uses_nothing_up() -> None:
    scene = Scene()
    scene.take(script(), script())
    assert scene.used == []


def went(override: int | None = ORDER) -> LocalBootStarted:
    return LocalBootStarted(mac=MAC, host="node1", client="10.0.0.9", override=override)


def test_local_disk_is_proved_by_the_last_word_of_its_script() -> None:
    scene = Scene("local")
    scene.take(went())
    assert scene.used == [(ORDER, "the machine started its own disk")]


def test_local_script_fetched_again_by_the_ipxe_it_loads_is_no_proof_yet() -> None:
    scene = Scene("local", settings={"ipxe": "chain"})
    scene.take(script("local"), script("local"))
    assert scene.used == []


def test_loader_that_cannot_say_so_proves_it_by_fetching_its_file() -> None:
    scene = Scene("local")
    scene.take(replace(script("local"), dialect="grub"))
    assert scene.used == [(ORDER, "the machine fetched its local boot script")]


@pytest.mark.parametrize("override", [None, ORDER - 1])
def test_last_word_of_another_order_uses_nothing_up(override: int | None) -> None:
    scene = Scene("local")
    scene.take(went(override))
    assert scene.used == []


def test_report_of_the_node_uses_its_order_up() -> None:
    scene = Scene()
    scene.take(NodeReported(mac=MAC, host="node1", state="running", override=ORDER))
    assert scene.used == [(ORDER, "the node reported running")]


def test_report_of_a_node_without_an_order_uses_nothing_up() -> None:
    scene = Scene()
    scene.take(NodeReported(mac=MAC, host="node1", state="running"))
    assert scene.used == []


def test_image_replaced_while_a_machine_fetches_it_is_booted_all_the_same() -> None:
    scene = Scene()
    scene.take(script(), scene.fetched(KERNEL))
    newer = Changes(2, memory_images={"debian": an_image(digest="cd")})
    scene.snapshot = apply_changes(scene.snapshot, newer)
    scene.take(scene.fetched(INITRD))
    assert scene.used == [(ORDER, "every file of the image was fetched")]


def test_files_of_an_image_that_is_gone_prove_nothing() -> None:
    scene = Scene("memory:removed")
    scene.take(scene.fetched(KERNEL), scene.fetched(INITRD))
    assert scene.used == []


def test_half_fetched_boots_are_forgotten_beyond_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_ATTEMPTS", 0)
    scene = Scene()
    scene.take(scene.fetched(KERNEL), scene.fetched(INITRD))
    assert scene.used == []


# -- loops ----------------------------------------------------------------------------------


def test_same_script_again_and_again_is_suspected_once_at_the_limit() -> None:
    scene = Scene()
    scene.take(*[script()] * 5)
    assert scene.said == [LoopSuspected(mac=MAC, host="node1", answer="memory:debian", repeats=3)]
    assert scene.repeats == 5


def test_diagnosis_is_not_counted_against_the_machine() -> None:
    scene = Scene()
    scene.take(*[script("diagnose: going-in-circles")] * 5)
    assert (scene.said, scene.repeats) == ([], 0)


@pytest.mark.parametrize("how", ["file", "report"])
def test_progress_wipes_the_slate(how: str) -> None:
    scene = Scene()
    report = NodeReported(mac=MAC, host="node1", state="started")
    scene.take(script(), script(), scene.fetched(KERNEL, override=None) if how == "file" else report)
    assert scene.repeats == 0


def test_file_without_its_attempt_is_no_progress() -> None:
    scene = Scene()
    scene.take(script(), scene.fetched(KERNEL, attempt=""), scene.fetched(KERNEL, complete=False))
    assert scene.repeats == 1


def test_loader_again_and_again_is_a_loop_too() -> None:
    scene = Scene()
    scene.take(*[loader(IPXE_LOADER)] * 3)
    assert scene.said == [LoopSuspected(mac=MAC, host="node1", answer=f"loader {IPXE_LOADER}", repeats=3)]


def test_loader_that_the_host_table_names_counts_as_well() -> None:
    scene = Scene(settings={"loader": "special.kpxe"})
    scene.take(*[loader("special.kpxe")] * 3)
    assert [type(event) for event in scene.said] == [LoopSuspected]


def test_other_files_and_other_machines_are_no_loop() -> None:
    scene = Scene()
    scene.take(*[loader("memtest.bin")] * 3, *[loader(IPXE_LOADER, mac="")] * 3)
    assert (scene.said, scene.repeats) == ([], 0)


def test_after_a_minute_the_count_begins_anew() -> None:
    scene = Scene()
    scene.take(script(), script())
    scene.now = 61.0
    scene.take(script())
    assert (scene.said, scene.repeats) == ([], 1)


def test_stranger_who_fetches_a_machines_script_brings_it_no_diagnosis() -> None:
    scene = Scene(at="52:54:00:66:66:66")
    scene.take(*[script()] * 5)
    assert scene.loops.repeats(MAC, scene.now) == 0
    assert scene.said == []


def test_machine_itself_is_counted() -> None:
    scene = Scene(at=MAC)
    scene.take(*[script()] * 3)
    assert scene.loops.repeats(MAC, scene.now) == 3
