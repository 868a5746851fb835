"""What whoever has taken over bootd's process can have done by the broker that is root: nothing to others."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bootd.drivers.lun import LunRefused
from bootd.drivers.lun.broker import PREFIX, number_of
from bootd.drivers.lun.brokered import Broker
from bootd.drivers.lun.tgtd import Said, Tgtd, TgtdError, socket_path
from tests.helpers.initiator import Initiator
from tests.helpers.tgtd import PrivateTgtd, private_tgtd

pytestmark = pytest.mark.root

USER = "root"  # the checks are the same, whoever it is
OURS, TAPE = f"{PREFIX}:a", "iqn.2026-01.org.example:tape"
SECRET = "secret-secret"
TRIES, EACH = 20_000, 50  # at most; of the link and of the file, at least


class TakenOver:
    """A tgtd that serves others too, and somebody with bootd's line to the broker and its folder."""

    def __init__(self, tgtd: PrivateTgtd, folder: Path) -> None:
        self.tgtd, self.folder, self.root = tgtd, folder, Tgtd(tgtd.socket)
        self.tid = number_of(OURS)
        self.start()

    def start(self) -> None:
        self.broker = Broker(socket_path(0, self.tgtd.socket), self.folder, USER)
        self.told = Tgtd(self.tgtd.socket, way=self.broker)


@pytest.fixture
def place() -> Iterator[TakenOver]:
    with private_tgtd() as tgtd, tempfile.TemporaryDirectory(prefix="bootd-data-") as name:
        folder = Path(name) / "luns"
        folder.mkdir()
        made = TakenOver(tgtd, folder)
        yield made
        made.broker.close()


def opened(tgtd: PrivateTgtd) -> set[tuple[int, int]]:
    """Return which files tgtd has open."""
    found = set()
    for each in Path(f"/proc/{tgtd.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            facts = each.stat()
            found.add((facts.st_dev, facts.st_ino))
    return found


class Swapping:
    """Gives the name of a volume to a link to *secret*, to a file, to the link again, as fast as can be."""

    def __init__(self, image: Path, secret: Path) -> None:
        self._image, self._secret = image, secret
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._swap)
        self.count = 0

    def _swap(self) -> None:
        link, file = self._image.with_name("link"), self._image.with_name("file")
        while not self._is_over.is_set():
            link.symlink_to(self._secret)
            link.replace(self._image)
            file.write_bytes(bytes(4096))
            file.replace(self._image)
            self.count += 1

    def __enter__(self) -> "Swapping":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


def test_a_file_of_others_is_never_exported_though_its_name_is_swapped_for_a_link(place: TakenOver) -> None:
    secret = place.folder.parent / "secret"
    secret.write_bytes(b"TOP" * 2000)
    facts = secret.stat()
    seen = {"exported": 0, "refused": 0}
    with Swapping(place.folder / "a.img", secret) as swapping:
        for _ in range(TRIES):
            if min(*seen.values(), swapping.count) >= EACH:
                break
            place.told.new_target(place.tid, OURS)
            try:
                place.told.new_lun(place.tid, str(place.folder / "a.img"))
                seen["exported"] += 1
            except LunRefused:
                seen["refused"] += 1
            assert (facts.st_dev, facts.st_ino) not in opened(place.tgtd)
            place.told.delete_target(place.tid)
    assert min(*seen.values(), swapping.count) >= EACH  # both were met, or nothing was tried
    assert [each.name for each in place.tgtd.socket.parent.iterdir() if each.is_symlink()] == []


def furnish_others(place: TakenOver) -> None:
    file = place.folder.parent / "tape.img"
    file.write_bytes(bytes(4096))
    place.root.new_target(7, TAPE)
    place.root.ask(2, 0, f"path={file}", tid=7, lun=1)
    place.root.new_account("tape", SECRET)
    place.root.bind_account(7, "tape")
    place.root.allow(7, "iqn.2026-01.org.example:library")


def test_targets_rules_and_accounts_of_others_cannot_be_changed(place: TakenOver) -> None:
    furnish_others(place)
    before = place.root.targets()
    place.told.new_target(place.tid, OURS)
    place.told.new_account("node1", SECRET)
    volume = place.folder / "a.img"
    volume.touch()
    told = place.told
    for deed in (
        lambda: told.delete_target(7),
        lambda: told.allow(7, "iqn.2026-01.org.example:node1"),
        lambda: told.forbid(7, "iqn.2026-01.org.example:library"),
        lambda: told.bind_account(7, "node1"),
        lambda: told.unbind_account(7, "tape"),
        lambda: told.end(7, 1, 0),
        lambda: told.new_lun(7, str(volume)),
    ):
        with pytest.raises(LunRefused, match="target 7 is not bootd's"):
            deed()
    with pytest.raises(LunRefused, match="account tape is that of target 7, which is not bootd's"):
        told.delete_account("tape")
    with pytest.raises(LunRefused, match="no words of operation"):
        told.new_target(8, "iqn.2026-01.org.example:disk")
    assert [one for one in place.root.targets() if one.name == TAPE] == before
    told.bind_account(place.tid, "node1")
    told.delete_account("node1")
    told.delete_target(place.tid)


def test_a_number_is_not_ours_because_a_machine_says_so_in_tgtds_listing(place: TakenOver) -> None:
    """As a name of ours with just that number could be found by trying, and forged."""
    tid = number_of(f"{PREFIX}:victim")
    place.root.new_target(tid, TAPE)
    place.root.allow(tid, "iqn.2026-01.org.example:library")
    with forged(place, f"Target {tid}: {PREFIX}:victim"):
        assert f"{PREFIX}:victim" in [one.name for one in place.root.targets()]
        with pytest.raises(LunRefused, match=f"target {tid} is not bootd's"):
            place.told.delete_target(tid)
    assert TAPE in [one.name for one in place.root.targets()]


def test_a_target_stays_ours_though_a_machine_says_that_it_is_anothers(place: TakenOver) -> None:
    place.told.new_target(number_of(f"{PREFIX}:b"), f"{PREFIX}:b")
    with forged(place, f"Target {number_of(f'{PREFIX}:b')}: {TAPE}"):
        place.broker.close()
        place.start()  # it has seen nothing of what was made before
        place.told.delete_target(number_of(f"{PREFIX}:b"))
        with pytest.raises(TgtdError) as gone:
            place.root.logins(number_of(f"{PREFIX}:b"))
    assert gone.value.said == Said.NO_TARGET
    assert {one.tid for one in place.root.targets()} == {place.tid}


def test_a_target_that_is_refused_is_not_taken_for_made(place: TakenOver) -> None:
    place.root.new_target(place.tid, TAPE)
    with pytest.raises(TgtdError) as refused:
        place.told.new_target(place.tid, OURS)
    assert refused.value.said == Said.TARGET_EXISTS
    with pytest.raises(LunRefused, match="is not bootd's"):
        place.told.delete_target(place.tid)


def test_after_tgtds_restart_a_number_that_was_ours_may_be_anothers(place: TakenOver) -> None:
    place.told.new_target(place.tid, OURS)
    place.tgtd.restart()
    place.root.new_target(place.tid, TAPE)
    with pytest.raises(LunRefused, match="is not bootd's"):
        place.told.delete_target(place.tid)


def forged(place: TakenOver, line: str) -> Initiator:
    """Log a machine in that calls itself a line of the listing."""
    node = "iqn.2026-01.org.example:node1"
    (place.folder / "a.img").write_bytes(bytes(4096))
    place.told.new_target(place.tid, OURS)
    place.told.new_lun(place.tid, str(place.folder / "a.img"))
    place.told.new_account("node1", SECRET)
    place.told.bind_account(place.tid, "node1")
    place.told.allow(place.tid, node)
    return Initiator(node, place.tgtd.portal, OURS, 1, "node1", SECRET, f"x\n{line}\n")
