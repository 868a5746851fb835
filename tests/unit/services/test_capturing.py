"""What a node that reads its slot is told, and which disk it may read."""

from pathlib import Path

import pytest

from bootd.model import JobPart, Outcome, SlotScheme
from bootd.services import jobs, tasks
from tests.helpers.capturing import TABLE, Studio, a_studio
from tests.helpers.site import a_host

OURS = TABLE.replace("/dev/sda7", "/dev/sda5")  # no slot 7
DISK = {
    "job": "1",
    "name": "sda",
    "sectors": "1000000",
    "sector-size": "512",
    "removable": "0",
    "serial": "QM1",
    "wwn": "",
    "blank": "no",
    "table": TABLE,
}


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    made = a_studio(tmp_path)
    made.order()
    made.starts()
    return made


def answer(studio: Studio, **changes: str) -> str:
    return tasks.permit(studio.store, "node1", DISK | changes)


def test_disk_of_the_slots_may_be_read_and_is_left_as_it_is(studio: Studio) -> None:
    assert answer(studio) == "permit yes\nuse read\nlayout keep\n"
    assert studio.store.slots(["node1"])[0].state == "ready"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "sdb"}, "sdb is not the disk of its slots, /dev/sda"),
        ({"removable": "1"}, "sda is removable"),
        ({"table": "", "blank": "yes"}, "sda is empty"),
        ({"table": OURS}, "sda is not divided as slots are"),
        ({"table": "label: dos\n/dev/sda1 : start=2048, size=10, type=83\n"}, "not divided as slots are"),
        ({"sectors": "many"}, "makes no sense"),
        ({"name": "../x"}, "makes no sense"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_another_disk_is_not_read(studio: Studio, changes: dict[str, str], told: str) -> None:
    text = answer(studio, **changes)
    assert text.startswith("permit no\n")
    assert told in text
    assert "repartition" not in text  # nobody wants to lose what he saves


@pytest.mark.parametrize(("serial", "is_right"), [("QM1", True), ("QM2", False)])
def test_disk_is_known_by_its_serial_where_its_host_is_set_so(
    studio: Studio, serial: str, is_right: bool
) -> None:
    with studio.store.transaction("anna", "test") as change:
        change.put_hosts([a_host(1, settings={"power": "fake", "disk": "serial:QM1"})])
    assert answer(studio, name="nvme0n1", table=TABLE.replace("sda", "nvme0n1p"), serial=serial).startswith(
        "permit yes" if is_right else "permit no"
    )
    assert "\ndisk serial:QM1\n" in tasks.task_text(studio.store, "node1")


def test_disk_is_that_of_the_node_s_scheme(studio: Studio) -> None:
    studio.keep(SlotScheme(disk="/dev/vda"))
    assert "\ndisk /dev/vda\n" in tasks.task_text(studio.store, "node1")
    assert "sda is not the disk of its slots, /dev/vda" in answer(studio)


def test_nothing_may_be_read_when_the_job_is_taken_back(studio: Studio) -> None:
    jobs.cancel(studio.store, "anna", 1, clock=studio.clock)
    assert answer(studio).startswith("permit no\n")
    assert tasks.task_text(studio.store, "node1") == "task none\n"


def test_node_that_is_given_up_has_nothing_to_read(studio: Studio) -> None:
    with studio.store.transaction("anna", "test") as change:
        change.put_job_parts([JobPart(1, "node1", "reading", Outcome.FAILED)])
    assert tasks.task_text(studio.store, "node1") == "task none\n"


def test_second_round_is_told_by_its_number(studio: Studio) -> None:
    studio.say("node1", "failed", "no")
    assert tasks.task_text(studio.store, "node1") == "task none\n"
    studio.starts()
    assert "\nround 2\n" in tasks.task_text(studio.store, "node1")
