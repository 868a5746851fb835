"""A machine's deeds are cut into boots where it was started anew, and nowhere else."""

from datetime import timedelta

import pytest

from bootd.boot.chain import QUIET, boots
from bootd.model import Observation
from tests.helpers.site import NOON

MAC = "52:54:00:00:00:01"
OFFER, LOADER, SCRIPT = "dhcp.offer_sent", "tftp.read_completed", "http.script_sent"
FILE, REPORT, LOOP, USED = "http.file_sent", "node.reported", "boot.loop_suspected", "boot.override_used"


def seen(event: str, second: float, octets: int = 0) -> Observation:
    return Observation(NOON + timedelta(seconds=second), MAC, "node1", event, event, octets)


def cut(*names: str, every_s: float = 1.0) -> list[list[str]]:
    """Return the boots in deeds that follow each other, as the names of their events."""
    rows = [seen(name, number * every_s) for number, name in enumerate(names)]
    return [[step.event for step in boot.steps] for boot in boots(rows)]


def test_nothing_seen_is_no_boot() -> None:
    assert boots([]) == []


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([OFFER, OFFER, LOADER, OFFER, SCRIPT, FILE, FILE, REPORT], id="pxe-rom-then-ipxe"),
        pytest.param([OFFER, SCRIPT, FILE, FILE, USED, REPORT], id="rom-that-is-an-ipxe"),
        pytest.param([OFFER, FILE, OFFER, SCRIPT, FILE, FILE, REPORT], id="http-boot-fetches-its-loader"),
        pytest.param([OFFER, SCRIPT, LOADER, OFFER, SCRIPT, FILE], id="ipxe-that-loads-ours-first"),
        pytest.param([OFFER, LOADER, LOOP, OFFER, SCRIPT], id="loop-noticed-at-the-loader"),
        pytest.param([OFFER, SCRIPT, SCRIPT, SCRIPT], id="diagnosis-asked-again"),
    ],
)
def test_one_boot_stays_one(names: list[str]) -> None:
    assert cut(*names) == [names]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param([OFFER, LOADER, OFFER, SCRIPT], id="after-a-script"),
        pytest.param([OFFER, SCRIPT, FILE, FILE], id="after-the-files"),
        pytest.param([OFFER, SCRIPT, FILE, REPORT], id="after-the-report"),
        pytest.param([OFFER, SCRIPT, FILE, USED], id="after-the-order-was-used"),
        pytest.param([OFFER, LOADER, OFFER, "http.script_refused"], id="after-a-refusal"),
    ],
)
def test_question_after_that_is_a_new_boot(first: list[str]) -> None:
    second = [OFFER, LOADER, OFFER, SCRIPT]
    assert cut(*first, *second) == [first, second]


def test_machine_heard_again_after_a_silence_was_started_anew() -> None:
    silence = QUIET.total_seconds()
    assert cut(OFFER, OFFER, every_s=silence) == [[OFFER], [OFFER]]
    assert cut(OFFER, OFFER, every_s=silence - 1) == [[OFFER, OFFER]]


def test_boot_sums_up_its_steps() -> None:
    [boot] = boots([seen(OFFER, 0, 300), seen(SCRIPT, 2.5, 1000), seen(REPORT, 9.5)])
    assert (boot.mac, boot.host) == (MAC, "node1")
    assert boot.started_at == NOON
    assert (boot.seconds, boot.octets, boot.has_reported) == (9.5, 1300, True)


def test_boot_without_a_report_has_none() -> None:
    [boot] = boots([seen(OFFER, 0)])
    assert (boot.seconds, boot.has_reported) == (0.0, False)
