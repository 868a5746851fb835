"""bootd serve and bootd luns flip, killed again and again, with a real tgtd: a node has one whole clone."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from bootd.clock import utc_now
from bootd.model import LunClone
from bootd.services import luns
from bootd.services.jobs import OPEN
from bootd.store import Store, open_store
from tests.helpers.initiator import Initiator
from tests.helpers.service import PATIENCE_S
from tests.net.test_calendar_killed import serve_and_kill
from tests.net.test_tgt_daemon import LUN_SIZE, Site, site, space, until

pytestmark = pytest.mark.root

__all__ = ["site", "space"]  # fixtures

LIVES_S = (0.0, 0.3, 0.8)  # how long each daemon lives once it serves
FLIPS_S = (0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.2, 2.0, 4.0)  # how long each command lives
AMID = LUN_SIZE // 8  # octets of the next image that are there when its writer is killed


@pytest.fixture
def staging(site: Site) -> Site:
    """A site whose next image is staged at once."""
    config = site.service.config
    config.write_text(config.read_text().replace('backend = "tgt"', 'backend = "tgt"\nstage_ahead = 1440'))
    return site


@contextmanager
def opened(site: Site) -> Iterator[Store]:
    with open_store(f"sqlite:///{site.service.data_dir}/bootd.db", clock=utc_now) as store:
        yield store


def states(site: Site) -> dict[str, str]:
    with opened(site) as store:
        return dict(zip(luns.SIDES, (side.state for side in luns.named(store, "rack").sides), strict=True))


def is_idle(site: Site) -> bool:
    with opened(site) as store:
        return not store.jobs(states=OPEN)


def clones(site: Site) -> list[LunClone]:
    """Return those that are exported."""
    with opened(site) as store:
        return [clone for clone in store.clones("rack") if clone.target]


def kill_daemons(site: Site) -> None:
    for seconds in LIVES_S:
        serve_and_kill(site.service, seconds)


def serve_and_kill_amid(site: Site, is_amid: Callable[[], bool]) -> None:
    """Kill a daemon as soon as it is so."""
    service = site.service
    argv = service.space.command(*service.argv("serve"))
    with (service.data_dir.parent / "log").open("ab") as log, Popen(argv, stdout=log) as daemon:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not is_amid():
                assert time.monotonic() < deadline
        finally:
            daemon.kill()
            daemon.wait(PATIENCE_S)


class Volume:
    """A volume's two files, as they are at this moment."""

    def __init__(self, site: Site, name: str) -> None:
        self._files = site.service.data_dir / "drivers" / "luns" / name

    @property
    def octets(self) -> int:
        """How many are there: the image has no holes."""
        image = self._files.with_name(f"{self._files.name}.img")
        return image.stat().st_blocks * 512 if image.exists() else 0

    @property
    def is_half(self) -> bool:
        record = Path(f"{self._files}.json")
        return record.exists() and not json.loads(record.read_text())["is_whole"]

    def is_amid_writing(self) -> bool:
        return self.is_half and self.octets >= AMID


def flip_and_die(site: Site, seconds: float) -> None:
    argv = site.service.argv("luns", "flip", "rack")
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as command:
        time.sleep(seconds)
        command.kill()


def ends_of(site: Site, clone: LunClone) -> tuple[bytes, bytes]:
    """Read the first and the last block as the node does, from the target itself."""
    with opened(site) as store:
        chap = luns.chap_of(store.secret(luns.SECRET) or b"", clone.chap_user)
    where = (site.tgtd.portal, clone.target, clone.lun)
    with Initiator(clone.initiator, *where, chap.user, chap.secret) as node:
        return node.read(0), node.read(LUN_SIZE // 512 - 1)


def test_booking_is_staged_and_flipped_whole_however_often_we_are_killed(staging: Site) -> None:
    kill_daemons(staging)  # while the first image is staged and begins
    with staging.service.serve():
        until(lambda: is_idle(staging) and clones(staging), "the first image is booted")
        (first,) = clones(staging)
        assert ends_of(staging, first) == (b"d" * 512, bytes(512))
    image = os.urandom(LUN_SIZE)
    (staging.service.data_dir.parent / "next.raw").write_bytes(image)
    staging.bootd("images", "add", "mesh/next", str(staging.service.data_dir.parent / "next.raw"))
    booked = ["--nodes", "node1", "--image", "mesh/next", "--start", "+2h", "--end", "+1h"]
    staging.bootd("reservations", "add", "mesh", *booked)
    side = Volume(staging, "rack.a")
    for _ in range(2):  # the second finds what the first has left
        serve_and_kill_amid(staging, side.is_amid_writing)
        assert side.is_half  # the kill fell into the writing
        assert AMID <= side.octets < LUN_SIZE
        assert states(staging) == {"a": "staging", "b": "active"}
        assert [clone.side for clone in clones(staging)] == [1]
    with staging.service.serve():
        until(lambda: states(staging)["a"] == "staged" and is_idle(staging), "the next image")
    assert not side.is_half
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
        sides = {clone.side: ends_of(staging, clone) for clone in clones(staging)}
    assert sides[1][0] == b"d" * 512  # for the way back
    assert sides[0] == (image[:512], image[-512:])
