"""The explanation: the decisions themselves, played in order, and the facts they come from."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bootd.boot.decide import RULES
from bootd.boot.explain import Explanation, describe, explain
from bootd.boot.offer import ServerFacts
from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.model import Assignment, Host, Override, parse_target
from netboot.arch import BY_NAME
from netboot.request import Stage
from tests.helpers.leases import NEAR
from tests.helpers.places import a_lun_place
from tests.helpers.site import NOON, a_host, an_image

SERVER = ServerFacts("10.0.0.2", b"\x0a\x00\x00\x02", "http://10.0.0.2:8080", b"\x0a\x00\x00\x02")
POLICY = Policy(loaders={"x86-bios": "undionly.kpxe", "x64-uefi-http": "snponly.efi"})
URL = "http://10.0.0.2:8080/boot/52-54-00-00-00-01.ipxe"


def a_snapshot(host: Host, *, assigned: str = "", once: str = "") -> Snapshot:
    until = NOON + timedelta(hours=1)
    return apply_changes(
        Snapshot(policy=POLICY),
        Changes(
            1,
            hosts={host.name: host},
            memory_images={"debian": an_image()},
            assignments={host.name: Assignment(host.name, parse_target(assigned), NOON)} if assigned else {},
            overrides={host.name: Override(7, host.name, parse_target(once), NOON, until)} if once else {},
        ),
    )


def explained(
    snapshot: Snapshot,
    *,
    mac: str = a_host().mac,
    arch: str = "x86-bios",
    at: datetime = NOON,
    stage: Stage | None = None,
) -> Explanation:
    return explain(snapshot, mac, BY_NAME[arch], at, SERVER, stage=stage)


def steps(found: Explanation) -> list[tuple[str, str]]:
    return [(step.asks, step.answer) for step in found.steps]


def test_host_that_has_its_lun_from_dhcp_is_shown_its_root_path_and_fetches_no_script() -> None:
    host = replace(a_host(), ip="10.99.0.11", settings={"lun": "dhcp"})
    snapshot = replace(a_snapshot(host), places={host.name: a_lun_place()})
    policy = replace(POLICY, subnets={"lab": NEAR})
    found = explained(replace(snapshot, policy=policy))
    assert [step.is_by_dhcp for step in found.steps] == [False, True]
    assert steps(found)[1][1].startswith(
        "iscsi:10.0.0.5:::1:iqn.2026-01.lab:rack-a-node1 by DHCP: LUN of rack"
    )
    assert "by DHCP it is given 10.99.0.11" in found.facts
    assert steps(explained(snapshot))[1][1].startswith(URL)


def test_host_whose_address_cannot_be_given_is_said_to_be_left_alone() -> None:
    policy = replace(POLICY, subnets={"lab": NEAR})
    found = explained(replace(a_snapshot(a_host(), assigned="memory:debian"), policy=policy))
    assert "by DHCP it has no address to be given: it is left alone" in found.facts


def test_pxe_rom_is_played_from_the_loader_to_the_script() -> None:
    found = explained(a_snapshot(a_host(), assigned="memory:debian"))
    assert steps(found) == [
        ("its firmware asks", "undionly.kpxe by TFTP from 10.0.0.2"),
        ("the loaded iPXE asks", f"{URL}: memory:debian"),
    ]
    assert (found.rule, found.meaning) == ("assigned", RULES["assigned"])
    assert found.facts == (
        "host node1: 52:54:00:00:00:01, 10.0.0.1",
        "boots from the network by default",
        "assigned memory:debian since 2026-01-05 12:00 UTC",
    )


def test_http_boot_is_sent_to_a_url_for_its_loader() -> None:
    found = explained(a_snapshot(a_host(), assigned="local"), arch="x64-uefi-http")
    assert steps(found)[0] == ("its firmware asks", "http://10.0.0.2:8080/files/snponly.efi")


def test_single_stage_is_one_question() -> None:
    snapshot = a_snapshot(a_host(local_boot="/dev/sda1"))
    assert steps(explained(snapshot, stage=Stage.ROM)) == [
        ("its firmware asks", "undionly.kpxe by TFTP from 10.0.0.2")
    ]
    assert steps(explained(snapshot, stage=Stage.IPXE)) == [("ipxe asks", f"{URL}: local disk /dev/sda1")]
    [(asks, answer)] = steps(explained(snapshot, stage=Stage.GPXE))
    assert (asks, answer) == ("gpxe asks", f"{URL.replace('.ipxe', '.gpxe')}: local disk /dev/sda1")


def test_stranger_gets_silence_and_the_size_of_the_table() -> None:
    found = explained(a_snapshot(a_host()), mac="52:54:00:00:00:99")
    assert (found.host, found.rule) == (None, "unknown-machine")
    assert steps(found) == [("its firmware asks", "none")]
    assert found.facts == ("the host table has 1 hosts, none with 52:54:00:00:00:99",)


def test_machine_without_a_loader_is_explained_by_that() -> None:
    found = explained(a_snapshot(a_host(), assigned="local"), arch="arm64-uefi")
    assert found.rule == "no-loader-for-architecture"
    assert found.host == a_host()


@pytest.mark.parametrize(
    ("at", "rule", "fact"),
    [
        pytest.param(
            NOON, "once", "once memory:debian, until 2026-01-05 13:00 UTC", id="while-the-order-stands"
        ),
        pytest.param(
            NOON - timedelta(days=400), "once", "once memory:debian, until 2026-01-05 13:00 UTC", id="past"
        ),
        pytest.param(
            NOON + timedelta(hours=1),
            "assigned",
            "once memory:debian, expired at 2026-01-05 13:00 UTC",
            id="the-very-end",
        ),
        pytest.param(
            NOON + timedelta(days=4000),
            "assigned",
            "once memory:debian, expired at 2026-01-05 13:00 UTC",
            id="future",
        ),
    ],
)
def test_instant_decides_whether_a_one_shot_order_holds(at: datetime, rule: str, fact: str) -> None:
    found = explained(a_snapshot(a_host(), assigned="local", once="memory:debian"), at=at)
    assert found.rule == rule
    assert fact in found.facts
    assert found.at == at


def test_instants_among_the_facts_are_written_as_the_caller_writes_them() -> None:
    snapshot = a_snapshot(a_host(), assigned="local", once="memory:debian")
    found = explain(
        snapshot, a_host().mac, BY_NAME["x86-bios"], NOON, SERVER, show_time=lambda at: f"{at:at %H o'clock}"
    )
    assert found.facts[-2:] == (
        "assigned local since at 12 o'clock",
        "once memory:debian, until at 13 o'clock",
    )


def test_settings_are_among_the_facts_in_order() -> None:
    found = explained(a_snapshot(a_host(settings={"rack": "4", "boot": "ignore"})))
    assert found.rule == "host-ignored"
    assert "settings: boot=ignore rack=4" in found.facts


def test_own_disk_is_among_the_facts() -> None:
    found = explained(a_snapshot(a_host(local_boot="/dev/sda1", ip=None)))
    assert found.facts[:2] == (
        "host node1: 52:54:00:00:00:01",
        "boots from its own disk (/dev/sda1) by default",
    )


def test_image_that_is_gone_is_a_problem_for_a_screen() -> None:
    snapshot = replace(a_snapshot(a_host(), assigned="memory:debian"), memory_images={})
    decision = explained(snapshot).steps[-1].decision
    assert describe(decision) == "diagnosis: there is no memory image 'debian' any more"


def test_what_goes_well_is_told_in_a_few_words() -> None:
    first, last = explained(a_snapshot(a_host(local_boot="/dev/sda1"), once="local")).steps
    assert describe(first.decision) == "loader undionly.kpxe"
    assert describe(last.decision) == "local disk /dev/sda1"


def test_every_rule_has_a_meaning() -> None:
    assert all(len(meaning) > 10 for meaning in RULES.values())
