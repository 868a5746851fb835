"""bootd serve and bootd luns flip, killed again and again, with a real tgtd: a node has one whole clone."""

import json
import subprocess
import time
from typing import Any

import pytest

from bootd.clock import utc_now
from bootd.services import luns
from bootd.store import open_store
from tests.helpers.initiator import Initiator
from tests.net.test_calendar_killed import serve_and_kill
from tests.net.test_tgt_daemon import Site, site, space, until

pytestmark = pytest.mark.root

__all__ = ["site", "space"]  # fixtures

LIVES_S = (0.0, 0.1, 0.3, 0.6, 1.0)  # how long each daemon lives once it serves
FLIPS_S = (0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.2, 2.0, 4.0)  # how long each command lives


@pytest.fixture
def staging(site: Site) -> Site:
    """A site whose next image is staged at once."""
    config = site.service.config
    config.write_text(config.read_text().replace('backend = "tgt"', 'backend = "tgt"\nstage_ahead = 1440'))
    return site


def states(site: Site) -> dict[str, str]:
    sides = json.loads(site.bootd("luns", "show", "rack", "--json"))["sides"]
    return {name: side["state"] for name, side in sides.items()}


def is_idle(site: Site) -> bool:
    return not json.loads(site.bootd("jobs", "list", "--json"))


def kill_daemons(site: Site) -> None:
    for seconds in LIVES_S:
        serve_and_kill(site.service, seconds)


def flip_and_die(site: Site, seconds: float) -> None:
    argv = site.service.argv("luns", "flip", "rack")
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as command:
        time.sleep(seconds)
        command.kill()


def first_block(site: Site, clone: dict[str, Any]) -> bytes:
    """Read as the node does, from the target itself."""
    with open_store(f"sqlite:///{site.service.data_dir}/bootd.db", clock=utc_now) as store:
        chap = luns.chap_of(store.secret(luns.SECRET) or b"", clone["chap_user"])
    where = (site.tgtd.portal, clone["target"], clone["lun"])
    with Initiator(clone["initiator"], *where, chap.user, chap.secret) as node:
        return node.read(0)


def test_booking_is_staged_and_flipped_whole_however_often_we_are_killed(staging: Site) -> None:
    kill_daemons(staging)  # while the first image is staged and begins
    with staging.service.serve():
        until(lambda: is_idle(staging) and staging.clones(), "the first image is booted")
        (first,) = staging.clones()
        assert first_block(staging, first) == b"d" * 512
    (staging.service.data_dir.parent / "next.raw").write_bytes(b"e" * 4096)
    staging.bootd("images", "add", "mesh/next", str(staging.service.data_dir.parent / "next.raw"))
    booked = ["--nodes", "node1", "--image", "mesh/next", "--start", "+2h", "--end", "+1h"]
    staging.bootd("reservations", "add", "mesh", *booked)
    kill_daemons(staging)  # while the next one is staged
    with staging.service.serve():
        until(lambda: states(staging)["a"] == "staged" and is_idle(staging), "the next image")
    for seconds in FLIPS_S:
        flip_and_die(staging, seconds)
        seen = states(staging)
        assert list(seen.values()).count("active") == 1
        assert is_idle(staging) == (seen["b"] == "active")  # flipped, and a job sees to the node; or neither
        if seen["a"] == "active":
            break
    assert seen == {"a": "active", "b": "inactive"}
    kill_daemons(staging)  # while the node is brought over
    with staging.service.serve():
        until(lambda: is_idle(staging), "the node was started on its clone of the next image")
        sides = {clone["side"]: first_block(staging, clone) for clone in staging.clones() if clone["target"]}
    assert sides["b"] == b"d" * 512  # for the way back
    assert sides["a"] == b"e" * 512
