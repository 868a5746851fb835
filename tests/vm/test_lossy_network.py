"""A boot goes through on a network that loses one frame in twenty, in a second lab beside the first."""

import pytest

from bootd.cli.context import cache_dir
from bootd.lab import Kind, Lab
from bootd.lab.demo import add_image
from tests.helpers.lab import PATIENCE_S, READY, REPORTED, lab_name, plug_in, wait_for_step

pytestmark = pytest.mark.vm


def test_a_bios_machine_boots_though_five_percent_of_the_frames_are_lost(lab: Lab) -> None:
    with Lab(lab_name("loss"), loss=5.0) as lossy:
        assert lossy.config != lab.config
        add_image(lossy, "hello", cache=cache_dir(), say=print)
        plug_in(lossy, "bios", Kind.BIOS)
        lossy.bootd("boot", "bios", "memory:hello")
        lossy.power_on("bios")
        lossy.wait_for("bios", READY, PATIENCE_S)
        lossy.wait_for("bios", REPORTED, PATIENCE_S)
        found = wait_for_step(lossy, "bios", "node.reported")
        assert found.fetched("vmlinuz")
        assert found.fetched("initrd.gz")
