"""``bootd slots`` as people type it."""

from datetime import UTC, datetime
from typing import Any

import click
import pytest

from bootd.cli import suggest
from bootd.model import ImageRef, Role, Slot
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, furnish
from tests.helpers.command import Bootd
from tests.helpers.site import a_host

OLD = ImageRef("mesh", "old", 1)
USED = datetime(2025, 11, 3, 20, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def furnished(bootd: Bootd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with bootd.store() as store:
        furnish(store)
        with store.transaction("anna") as change:
            change.put_host(a_host(4, role=Role.MESH, groups=("lab",)))
            change.keep(a_disk_image("other"))
            for node in ("node2", "node3"):
                change.keep(Slot(node, 7, OLD, "old", "ready", last_used_at=USED))


def slots(store: Store, number: int = 7) -> dict[str, tuple[str, bool]]:
    return {slot.host: (slot.state, slot.pinned) for slot in store.slots(number=number)}


def test_list_puts_together_what_is_the_same(bootd: Bootd) -> None:
    lines = [line.split() for line in bootd.good("slots", "list").out.splitlines()]
    assert lines[0] == ["SLOT", "STATE", "IMAGE", "NODES", "LAST", "USED", "(Asia/Tokyo)"]
    assert lines[1:] == [
        ["[5-6,8-25]", "empty", "node[2-4]"],
        ["7", "empty", "node4"],
        ["7", "ready", "mesh/old@1", "node[2-3]", "2025-11-04", "05:30"],
    ]
    [empty, *_] = bootd.good("slots", "list", "node4", "--json").json
    assert (empty["slots"], empty["image"], empty["nodes"]) == (list(range(5, 26)), None, ["node4"])


def test_list_of_a_site_without_slots_says_what_makes_some(bootd: Bootd) -> None:
    assert "bootd hosts set NODESET --role mesh" in bootd.good("slots", "list", "node1").out


def test_show_names_device_and_bookings(bootd: Bootd) -> None:
    day = f"{datetime.now(UTC).year + 1}-05-05 09:00"
    words = ("mesh", "--nodes", "node2", "--start", day, "--end", "+1h", "--image", "other")
    bootd.good("reservations", "add", *words)
    lines = [line.split() for line in bootd.good("slots", "show", "node2").out.splitlines()]
    assert lines[1] == ["5", "/dev/sda5", "empty", "1"]
    assert lines[3] == ["7", "/dev/sda7", "ready", "mesh/old@1", "2025-11-04", "05:30"]
    plain = bootd.good("slots", "show", "node2", "--json").json
    assert (plain[0]["reservations"], plain[2]["image"], plain[2]["digest"]) == ([1], "mesh/old@1", "old")
    assert bootd("slots", "show", "node1").err == (
        "bootd: node1 is a root node: it boots from a LUN and has no slots\n"
    )
    assert bootd("slots", "show", "node[2-3]").status == 1


def test_pin_wipe_and_unpin(bootd: Bootd) -> None:
    assert bootd.good("slots", "pin", "node[2-4]", "7", "--dry-run").out.startswith("would pin slot 7")
    said = bootd.good("slots", "pin", "node[2-4]", "7").out
    assert said == "pinned slot 7 of node4 (empty)\npinned slot 7 of node[2-3] (mesh/old@1)\n"
    assert bootd.good("slots", "pin", "node2", "7").out == "nothing to do: it is pinned already\n"
    refused = bootd("slots", "wipe", "node[2-3]", "7")
    assert (refused.status, refused.err) == (1, "bootd: slot 7 cannot be wiped: node[2-3]: pinned\n")
    bootd.good("slots", "unpin", "@role:mesh", "7")
    assert bootd.good("slots", "wipe", "node2", "7", "--dry-run").out.startswith("would forget what is in")
    assert bootd.good("slots", "wipe", "node[2-4]", "7").out == (
        "forgot what was in slot 7 of node[2-3] (mesh/old@1)\n"
    )
    with bootd.store() as store:
        assert set(slots(store).values()) == {("empty", False)}


def test_schemes_are_set_listed_and_removed(bootd: Bootd) -> None:
    said = bootd.good("slots", "scheme", "set", "lab", "--disk", "/dev/nvme0n1", "--last", "9").out
    assert said == "the slots are /dev/nvme0n1p5 to /dev/nvme0n1p9 on lab\n"
    bootd.good("slots", "scheme", "set", "@all", "--first", "6", "--dry-run")
    listed = [line.split() for line in bootd.good("slots", "scheme", "list").out.splitlines()]
    assert [line[:4] for line in listed[1:]] == [
        ["@all", "/dev/sda", "dos", "5-25"],
        ["lab", "/dev/nvme0n1", "dos", "5-9"],
    ]
    bootd.good("slots", "scheme", "set", "@lab", "--first", "6")
    plain = bootd.good("slots", "scheme", "list", "--json").json
    sizes = {"boot_mib": 1024, "swap_mib": 4096, "spare_mib": 4096, "slot_mib": 0}
    assert plain[1] == {
        "group": "lab",
        "disk": "/dev/nvme0n1",
        "label": "dos",
        "first": 6,
        "last": 9,
        **sizes,
    }


def test_sizes_of_a_scheme_are_set_one_by_one(bootd: Bootd) -> None:
    bootd.good("slots", "scheme", "set", "lab", "--swap-mib", "512")
    bootd.good("slots", "scheme", "set", "lab", "--slot-mib", "2000")
    listed = bootd.good("slots", "scheme", "list").out.splitlines()[-1].split()
    assert listed == [
        "lab",
        "/dev/sda",
        "dos",
        "5-25",
        "1024",
        "MiB",
        "512",
        "MiB",
        "4096",
        "MiB",
        "2000",
        "MiB",
    ]
    assert bootd("slots", "scheme", "set", "lab", "--boot-mib", "8").err.endswith("MiB, 64 or more\n")


def test_table_of_a_scheme_is_gpt_for_machines_that_start_by_uefi(bootd: Bootd) -> None:
    bootd.good("slots", "scheme", "set", "lab", "--table", "gpt")
    assert bootd.good("slots", "scheme", "list", "--json").json[1]["label"] == "gpt"
    assert bootd("slots", "scheme", "set", "lab", "--table", "mbr").status == 2


def test_scheme_is_removed(bootd: Bootd) -> None:
    bootd.good("slots", "scheme", "set", "lab", "--first", "6")
    assert bootd.good("slots", "scheme", "remove", "lab").out == "forgot the slot scheme of lab\n"
    assert len(bootd.good("slots", "scheme", "list", "--json").json) == 1


def test_scheme_that_would_lose_images_is_refused(bootd: Bootd) -> None:
    refused = bootd("slots", "scheme", "set", "@all", "--first", "8")
    assert refused.status == 1
    assert "slot 7 of node[2-3] holds mesh/old@1" in refused.err
    assert bootd("slots", "scheme", "set", "lab").status == 2


def words_of(complete: Any, bootd: Bootd, begun: str = "") -> list[str]:
    context = click.Context(click.Command("bootd"), obj=None)
    context.params = {"config_file": bootd.config}
    return [item.value for item in complete(context, None, begun)]


def test_numbers_and_schemes_are_completed(bootd: Bootd) -> None:
    bootd.good("slots", "scheme", "set", "lab", "--first", "3")
    assert words_of(suggest.slot_number, bootd)[:3] == ["3", "4", "5"]
    assert words_of(suggest.slot_scheme, bootd, "l") == ["lab"]
