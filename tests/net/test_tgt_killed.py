"""We are killed at any order to tgtd, or while we copy: nobody gets in who may not, the next one does it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.drivers.faults import PowerLost
from bootd.drivers.lun import Chap
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.lun.tgtd import Tgtd
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from tests.helpers.initiator import Initiator
from tests.helpers.lunsite import CHAP, NODE1, NODE2, SIZE, Site, lun_site

pytestmark = pytest.mark.root

NEWER = replace(CHAP, secret="newer-secret")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with lun_site(tmp_path) as made:
        yield made


class Dying(Tgtd):
    """Loses power at order *at*: before tgtd hears it, or after."""

    def __init__(self, socket: Path, at: int, *, heard: bool) -> None:
        super().__init__(socket)
        self.left, self._heard = at, heard

    def ask(self, *args: object, **named: object) -> str:
        self.left -= 1
        if self.left == 0 and not self._heard:
            raise PowerLost
        try:
            answer: str = super().ask(*args, **named)  # type: ignore[arg-type]
        finally:
            if self.left == 0:
                raise PowerLost  # instead of whatever was answered
        return answer


DEEDS: dict[str, Callable[[TgtLuns], object]] = {
    "export": lambda luns: luns.export("b", NODE1, Chap("node1-b", "secret-secret")),
    "new secret": lambda luns: luns.export("a", NODE1, NEWER),
    "new user": lambda luns: luns.export("a", NODE1, Chap("node1-a", "newer-secret")),
    "unexport": lambda luns: luns.unexport("a"),
    "unexport by force": lambda luns: luns.unexport("a", force=True),
    "delete": lambda luns: luns.delete("a"),
    "restore": lambda luns: luns.restore(),
}


@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "heard"])
@pytest.mark.parametrize("deed", DEEDS)
def test_killed_at_any_order_to_tgtd_nobody_gets_in_who_may_not_and_the_next_process_does_it(
    site: Site, deed: str, heard: bool
) -> None:
    """After each death the target, as it was left, refuses whom it should; then the deed is repeated."""
    for at in range(1, 100):
        machine = begin(site, deed)
        luns = site.next_process()
        luns._tgtd = Dying(site.tgtd.socket, at, heard=heard)
        try:
            DEEDS[deed](luns)
        except PowerLost:
            check_door(site)
            site.next_process().restore()
            check_door(site)
            DEEDS[deed](site.next_process())
            check_done(site, deed)
        else:
            assert at > 2
            assert luns._tgtd.left > 0
            check_done(site, deed)
            return
        finally:
            if machine is not None:
                machine.log_out()
    pytest.fail("it never came to an end")


def begin(site: Site, deed: str) -> Initiator | None:
    """Return the machine whose session is in the way."""
    for name in ("a", "b"):
        site.luns.unexport(name, force=True)
        site.luns.delete(name)
        site.luns.create(name, SIZE)
    site.luns.export("a", NODE1, CHAP)
    if deed == "restore":
        site.tgtd.restart()
    return site.log_in("a") if deed == "unexport by force" else None


def check_door(site: Site) -> None:
    for name in ("a", "b"):
        assert site.refuses(name, None)
        assert site.refuses(name, CHAP, NODE2)
        assert site.refuses(name, Chap("node1", "wrong-secret"))


def check_done(site: Site, deed: str) -> None:
    check_door(site)
    assert site.luns.sessions() == []
    names = [volume.name for volume in site.luns.volumes()]
    exported = [volume.name for volume in site.luns.volumes() if volume.export]
    assert names == (["b"] if deed == "delete" else ["a", "b"])
    assert exported == {"export": ["a", "b"], "unexport": [], "unexport by force": [], "delete": []}.get(
        deed, ["a"]
    )
    assert site.refuses("a") == (deed not in ("export", "restore"))
    assert site.refuses("a", NEWER) == (deed != "new secret")
    assert site.refuses("a", Chap("node1-a", "newer-secret")) == (deed != "new user")
    assert site.refuses("b", Chap("node1-b", "secret-secret")) == (deed != "export")


# -- killed while a clone is copied

_CLONES = """
import sys
from pathlib import Path
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.tools import Tools
luns = FakeLuns(Tools(Path(sys.argv[1])))
print("begins", flush=True)
luns.clone("a", "b")
"""


def test_killed_at_any_moment_of_copying_there_is_a_whole_clone_or_none(tmp_path: Path) -> None:
    """Each process lives a little longer than the last, until one has made the clone."""
    luns = FakeLuns(Tools(tmp_path))  # its files are those of every backend that has files
    luns.create("a", 256 << 20)
    luns.write("a", BytesSource(os.urandom(1 << 20) * 192))
    left = 0  # half copied files
    for n in range(200):
        clone_and_die(tmp_path, 0.012 * n)
        if len(luns.volumes()) == 2:
            break
        is_half = luns._shelf.image("b").exists()
        left += is_half
        assert luns.scraps() == ["b"] * is_half
    assert all(ours == theirs for ours, theirs in zip(luns.read("b"), luns.read("a"), strict=True))
    assert left > 0


def clone_and_die(folder: Path, after_s: float) -> None:
    process = subprocess.Popen([sys.executable, "-c", _CLONES, folder], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begins\n"
        time.sleep(after_s)
        process.kill()
