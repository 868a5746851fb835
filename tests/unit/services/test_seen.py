"""Events in words for people."""

import pytest

from bootd import events
from bootd.events import Event
from bootd.services.seen import answer_given, observation_of, sighting_of
from tests.helpers.site import NOON

WHO = {"mac": "52:54:00:00:00:01", "host": "node1"}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            events.OfferSent(
                **WHO,
                arch="x86-bios",
                stage="rom",
                rule="assigned",
                boot_file="undionly.kpxe",
                port=67,
                octets=300,
            ),
            "x86-bios asked as rom, was offered undionly.kpxe",
        ),
        (
            events.OfferSent(
                **WHO,
                arch="x64-uefi",
                stage="rom",
                rule="once",
                boot_file="snponly.efi",
                port=4011,
                octets=300,
            ),
            "x64-uefi asked on port 4011 as rom, was offered snponly.efi",
        ),
        (
            events.TftpReadCompleted(
                **WHO, client="10.0.0.7", filename="undionly.kpxe", octets=7, seconds=0.1
            ),
            "read undionly.kpxe by TFTP",
        ),
        (
            events.TftpReadFailed(**WHO, client="10.0.0.7", filename="x", octets=7, why="timeout"),
            "gave up reading x by TFTP: timeout",
        ),
        (
            events.ScriptSent(
                **WHO, client="c", dialect="ipxe", rule="once", answer="memory:debian", octets=5, override=3
            ),
            "fetched its ipxe script: memory:debian (once)",
        ),
        (events.ReadPermitted(**WHO, disk="sda QM1"), "may read its disk sda QM1"),
        (events.ReadRefused(**WHO, text="sda is removable"), "may not read its disk: sda is removable"),
        (
            events.SlotCaptured(**WHO, job=7, received=12_300_000),
            "sent its slot for job 7, 12.3 MB",
        ),
        (
            events.ScriptRefused(**WHO, client="c", why="host-ignored"),
            "asked for a script and got none: host-ignored",
        ),
        (
            events.FileSent(
                **WHO, client="c", path="memory/debian/ab/vmlinuz", octets=9, seconds=1.5, complete=True
            ),
            "fetched vmlinuz",
        ),
        (
            events.FileSent(**WHO, client="c", path="vmlinuz", octets=9, seconds=1.5, complete=False),
            "fetched part of vmlinuz",
        ),
        (
            events.ScriptSent(
                **WHO, client="c", dialect="grub", rule="reserved", answer="slot:7 mesh/debian@1", octets=5
            ),
            "fetched its grub script: slot:7 mesh/debian@1",
        ),
        (
            events.NodeReported(**WHO, state="running", detail="6.1", given_at=1),
            "reported running: 6.1",
        ),
        (events.NodeReported(**WHO, state="failed"), "reported failed, without a token"),
        (
            events.OverrideUsed(**WHO, override=3, target="memory:debian", proof="every file went out"),
            "has carried out its one-shot order, memory:debian: every file went out",
        ),
        (
            events.LoopSuspected(**WHO, answer="memory:debian", repeats=5),
            "was given memory:debian 5 times without going on: it loops",
        ),
    ],
)
def test_a_step_of_a_boot_is_a_row_of_the_chain(event: Event, text: str) -> None:
    row = observation_of(event, NOON)
    assert row is not None
    assert (row.at, row.mac, row.host, row.event, row.text) == (NOON, WHO["mac"], "node1", event.name, text)
    assert row.octets == getattr(event, "octets", 0)
    assert row.seconds == getattr(event, "seconds", 0.0)


@pytest.mark.parametrize(
    "event",
    [
        events.FileSent(client="c", path="x", octets=9, seconds=1.5, complete=True),
        events.TftpReadFailed(**WHO, client="c", filename="x", octets=0, why="client-aborted"),
        events.PacketIgnored(**WHO, why="request-on-67"),
        events.ServiceStopped(why="SIGTERM"),
    ],
)
def test_what_is_no_step_of_a_boot_is_no_row(event: Event) -> None:
    assert observation_of(event, NOON) is None


def test_a_question_of_an_unknown_machine_is_a_sighting() -> None:
    found = sighting_of(events.UnknownMachine(mac="52:54:00:00:00:09", arch="x86-bios"), NOON)
    assert found is not None
    assert (found.mac, found.arch, found.questions, found.reason) == (
        "52:54:00:00:00:09",
        "x86-bios",
        1,
        "unknown-machine",
    )
    assert sighting_of(events.ServiceStopped(why="x"), NOON) is None


def test_a_script_that_another_machine_fetched_is_not_its_own_deed() -> None:
    event = events.ScriptSent(
        **WHO, client="10.0.0.9", dialect="ipxe", rule="reserved", answer="slot:7 mesh/debian@1", octets=5
    )
    row = observation_of(event, NOON, itself=False)
    assert row is not None
    assert row.text == "had its script fetched by 10.0.0.9, another machine: slot:7 mesh/debian@1"


@pytest.mark.parametrize("once", [None, 3])
def test_what_a_script_gave_is_read_back_from_its_row(once: int | None) -> None:
    answer = "diagnose: no: room"
    event = events.ScriptSent(
        **WHO, client="c", dialect="ipxe", rule="once", answer=answer, octets=5, override=once
    )
    row = observation_of(event, NOON)
    assert row is not None
    assert answer_given(row) == (answer if once is None else f"{answer} (once)")
