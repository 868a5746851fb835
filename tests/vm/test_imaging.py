"""Two mesh nodes of a booking: power-cycled, imaged by the real daemon, and started from their slots."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootd.cli.context import cache_dir
from bootd.lab import Kind, Lab
from bootd.lab.demo import add_image
from tests.helpers.lab import PATIENCE_S, lab_name, plug_in, steps
from tests.helpers.partitions import clonezilla_part, root_partition

pytestmark = pytest.mark.vm

NODES = ("mesh1", "mesh2")
MARKER = "BOOKED-IMAGE-STARTED"
CONFIG = """
[imaging]
transport = "{transport}"
rate_mbit = 80
[calendar]
window_pause = 1
"""
_LONG_S = 2 * PATIENCE_S  # a boot, an image, a restart


@pytest.fixture(params=["http", "udpcast"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(lab_name(f"i{request.param[0]}"))
    try:
        made.up(config_extra=CONFIG.format(transport=request.param))
        add_image(made, "imager", cache=cache_dir(), say=print)
        scheme = (
            "--disk",
            "/dev/vda",
            "--last",
            "9",
            "--boot-mib",
            "64",
            "--swap-mib",
            "8",
            "--spare-mib",
            "8",
        )
        made.bootd("slots", "scheme", "set", "@all", *scheme)
        for name in NODES:
            disk = tmp_path / name
            with disk.open("wb") as file:
                file.truncate(512 << 20)
            plug_in(made, name, Kind.BIOS, disk=disk)
            made.bootd("hosts", "set", name, "--role", "mesh")
            made.power_on(name, is_held=True)
        made.bootd("projects", "add", "mesh", "--owner", "anna")
        yield made
    finally:
        made.down()


def job(lab: Lab, kind: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(lab.bootd("jobs", "list", "--all", "--json").stdout)
    return next((each for each in found if each["kind"] == kind), {})


def wait_for_end(lab: Lab, kind: str) -> dict[str, Any]:
    until = time.monotonic() + _LONG_S
    while (now := job(lab, kind)).get("state") not in ("done", "partly", "failed"):
        assert time.monotonic() < until, (now, [lab.console(name).tail() for name in NODES])
        time.sleep(1)
    return now


def test_booked_image_comes_to_the_slots_of_its_nodes_and_they_start_it(lab: Lab, tmp_path: Path) -> None:
    folder = clonezilla_part(tmp_path / "parts", root_partition(tmp_path / "root", MARKER))
    lab.bootd("images", "add", "mesh/debian", str(folder))
    booking = ("--start", "now", "--end", "+2h", "--image", "mesh/debian")
    lab.bootd("reservations", "add", "mesh", "--nodes", ",".join(NODES), *booking)
    ended = wait_for_end(lab, "write-slot")
    assert ended["state"] == "done", (ended, [lab.console(name).tail() for name in NODES])
    for name in NODES:
        lab.wait_for(name, f"{MARKER} in hd0,msdos5", _LONG_S)
        said = [row["text"] for row in steps(lab, name).of("node.reported")]
        assert any(text.startswith("reported verified: sha256:") for text in said)
        (permitted,) = steps(lab, name).of("node.write_permitted")
        assert "vda" in permitted["text"]
