"""What every LUN backend does."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootd.drivers.lun import (
    Chap,
    LunBackend,
    LunBusy,
    LunMissing,
    LunRefused,
    Session,
    Volume,
)
from bootd.drivers.lun.configfs import Configfs
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.lun.lio import LioLuns
from bootd.drivers.lun.lio_plan import target_of
from bootd.drivers.lun.ontap import OntapLuns
from bootd.drivers.lun.ontap_rest import OntapSite
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.source import BytesSource, FileSource
from bootd.drivers.tools import Tools
from tests.helpers.configfs import PlayedConfigfs
from tests.helpers.initiator import Initiator
from tests.helpers.ontap_server import certificate, ontap_system
from tests.helpers.ontap_state import PASSWORD, SVM, USER, VOLUME, Ontap
from tests.helpers.tgtd import PrivateTgtd, private_tgtd

SIZE = 4 << 20  # octets
IMAGE = bytes(range(256)) * 4096 + bytes(1 << 20) + b"end"
NODE1, NODE2 = (f"iqn.2026-01.org.example:node{n}" for n in (1, 2))
CHAP = Chap("node1", "secret-secret")


class Bench(ABC):
    """A backend without volumes, and an initiator to log in with."""

    luns: LunBackend

    @abstractmethod
    def log_in(self, volume: str, initiator: str, chap: Chap) -> None:
        """Log in and stay; raises any exception if the target says no."""

    @abstractmethod
    def log_out(self, volume: str, initiator: str) -> None:
        """End the session properly."""

    @abstractmethod
    def write(self, volume: str, initiator: str, octets: bytes) -> None:
        """Write whole blocks to the volume's beginning, as the machine that is logged in."""

    def content(self, name: str) -> bytes:
        return b"".join(self.luns.read(name))


@dataclass(frozen=True)
class Liar:
    """An image that is not as long as it says, or cannot be read to its end."""

    size: int
    octets: bytes
    breaks: bool = False

    def chunks(self) -> Iterator[bytes]:
        yield self.octets
        if self.breaks:
            raise OSError(5, "Input/output error")


class LunContract:
    """Subclasses give a fixture ``bench``."""

    # -- volumes

    def test_a_new_volume_reads_as_zeros(self, bench: Bench) -> None:
        assert bench.luns.create("a", SIZE) == Volume("a", SIZE)
        assert bench.content("a") == bytes(SIZE)
        assert bench.luns.volumes() == [Volume("a", SIZE)]

    def test_creating_what_is_there_leaves_its_contents(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.write("a", BytesSource(IMAGE))
        assert bench.luns.create("a", SIZE) == Volume("a", SIZE)
        assert bench.content("a").startswith(IMAGE)

    def test_a_name_stands_for_one_size(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        with pytest.raises(LunRefused, match="volume a: is there") as caught:
            bench.luns.create("a", 2 * SIZE)
        assert caught.value.is_permanent
        assert bench.luns.volume("a").size == SIZE

    @pytest.mark.parametrize(("name", "size"), [("A/../b", SIZE), ("", SIZE), ("a", 0), ("a", 1000)])
    def test_bad_names_and_sizes_are_refused(self, bench: Bench, name: str, size: int) -> None:
        with pytest.raises(LunRefused):
            bench.luns.create(name, size)
        assert bench.luns.volumes() == []

    def test_volumes_are_told_in_the_order_of_their_names(self, bench: Bench) -> None:
        for name in ("b", "a.2", "a"):
            bench.luns.create(name, SIZE)
        assert [volume.name for volume in bench.luns.volumes()] == ["a", "a.2", "b"]

    def test_what_is_not_there_is_missing_by_name(self, bench: Bench) -> None:
        luns = bench.luns
        for call in (
            lambda: luns.volume("x"),
            lambda: luns.clone("x", "y"),
            lambda: luns.write("x", BytesSource(b"")),
            lambda: luns.export("x", NODE1, CHAP),
            lambda: luns.read("x"),
        ):
            with pytest.raises(LunMissing, match="volume x: there is none"):
                call()
        assert luns.sessions("x") == []
        assert luns.volumes() == []

    def test_deleting_may_be_repeated_and_the_name_is_free_again(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.delete("a")
        bench.luns.delete("a")
        assert bench.luns.volumes() == []
        bench.luns.create("a", 2 * SIZE)
        assert bench.content("a") == bytes(2 * SIZE)

    # -- images

    def test_an_image_is_written_with_progress_up_to_its_size(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        steps: list[int] = []
        volume = bench.luns.write("a", BytesSource(IMAGE, chunk=100_000), steps.append)
        assert volume == Volume("a", SIZE)
        assert bench.content("a") == IMAGE.ljust(SIZE, b"\0")
        assert steps == sorted(steps)
        assert (len(steps) > 1, steps[-1]) == (True, len(IMAGE))

    def test_an_image_comes_from_a_file_too(self, bench: Bench, tmp_path: Path) -> None:
        bench.luns.create("a", SIZE)
        (tmp_path / "image").write_bytes(IMAGE)
        bench.luns.write("a", FileSource.of(tmp_path / "image"))
        assert bench.content("a").startswith(IMAGE)

    def test_nothing_is_left_of_an_earlier_image(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.write("a", BytesSource(b"\xff" * SIZE))
        bench.luns.write("a", BytesSource(b"short" + bytes(1 << 20) + b"."))
        assert bench.content("a") == (b"short" + bytes(1 << 20) + b".").ljust(SIZE, b"\0")

    def test_an_image_that_is_too_large_is_refused_before_anything_is_written(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.write("a", BytesSource(IMAGE))
        with pytest.raises(LunRefused, match=f"{SIZE + 1} octets, the volume {SIZE}"):
            bench.luns.write("a", BytesSource(bytes(SIZE + 1)))
        assert bench.luns.volume("a").is_whole
        assert bench.content("a").startswith(IMAGE)

    @pytest.mark.parametrize(
        ("image", "said"),
        [
            pytest.param(Liar(2000, b"x" * 1999), "ends after 1999 of 2000", id="short"),
            pytest.param(Liar(2000, b"x" * 2001), "goes on after its 2000", id="long"),
            pytest.param(Liar(2000, b"x" * 1000, breaks=True), "Input/output error", id="unreadable"),
        ],
    )
    def test_what_is_no_image_leaves_a_volume_that_is_not_whole(
        self, bench: Bench, image: Liar, said: str
    ) -> None:
        bench.luns.create("a", SIZE)
        with pytest.raises(LunRefused, match=said):
            bench.luns.write("a", image)
        assert not bench.luns.volume("a").is_whole
        with pytest.raises(LunRefused):
            bench.luns.clone("a", "b")
        with pytest.raises(LunRefused):
            bench.luns.export("a", NODE1, CHAP)
        bench.luns.write("a", BytesSource(IMAGE))
        assert bench.luns.volume("a").is_whole

    def test_writing_is_cancelled_by_raising_in_progress(self, bench: Bench) -> None:
        def cancel(octets: int) -> None:
            raise InterruptedJob

        bench.luns.create("a", SIZE)
        with pytest.raises(InterruptedJob):
            bench.luns.write("a", BytesSource(IMAGE), cancel)
        assert not bench.luns.volume("a").is_whole

    # -- clones

    def test_a_clone_and_its_source_do_not_see_each_others_writes(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.write("a", BytesSource(IMAGE))
        assert bench.luns.clone("a", "b") == Volume("b", SIZE, parent="a")
        assert bench.luns.clone("a", "c") == Volume("c", SIZE, parent="a")
        bench.luns.write("a", BytesSource(b"new"))
        bench.luns.write("b", BytesSource(b"own"))
        assert bench.content("a").startswith(b"new\0")
        assert bench.content("b").startswith(b"own\0")
        assert bench.content("c") == IMAGE.ljust(SIZE, b"\0")

    def test_cloning_again_leaves_the_clone_as_it_is(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.clone("a", "b")
        bench.luns.write("a", BytesSource(b"new"))
        assert bench.luns.clone("a", "b") == Volume("b", SIZE, parent="a")
        assert bench.content("b") == bytes(SIZE)

    def test_a_clone_does_not_take_anothers_name(self, bench: Bench) -> None:
        for name in ("a", "b"):
            bench.luns.create(name, SIZE)
        bench.luns.clone("a", "c")
        for source, name in (("a", "b"), ("b", "c"), ("a", "a")):
            with pytest.raises(LunRefused, match=f"is there and no clone of {source}"):
                bench.luns.clone(source, name)

    def test_a_clone_outlives_its_source(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.write("a", BytesSource(IMAGE))
        bench.luns.clone("a", "b")
        bench.luns.delete("a")
        assert bench.luns.volumes() == [Volume("b", SIZE, parent="a")]
        assert bench.content("b").startswith(IMAGE)
        assert bench.luns.clone("a", "b").name == "b"  # still what was wanted

    def test_threads_that_want_the_same_get_the_same(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.write("a", BytesSource(IMAGE))
        with ThreadPoolExecutor(8) as pool:
            clones = list(pool.map(lambda n: bench.luns.clone("a", f"b{n % 2}"), range(16)))
        assert set(clones) == {Volume(f"b{n}", SIZE, parent="a") for n in range(2)}
        assert bench.content("b0") == bench.content("b1") == bench.content("a")

    # -- exports

    def test_an_exported_volume_lets_its_initiator_in_and_nobody_else(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        export = bench.luns.export("a", NODE1, CHAP)
        assert (export.volume, export.initiator, export.chap_user) == ("a", NODE1, "node1")
        assert export.portals
        assert bench.luns.volume("a").export == export
        for initiator, chap in ((NODE2, CHAP), (NODE1, replace(CHAP, secret="wrong-secret"))):
            with pytest.raises(Exception):  # noqa: B017 - each initiator has its own words
                bench.log_in("a", initiator, chap)
        assert bench.luns.sessions() == []
        bench.log_in("a", NODE1, CHAP)
        assert [(one.volume, one.initiator) for one in bench.luns.sessions()] == [("a", NODE1)]

    def test_each_volume_has_a_target_of_its_own(self, bench: Bench) -> None:
        for name in ("a", "b"):
            bench.luns.create(name, SIZE)
        exports = [bench.luns.export(name, NODE1, CHAP) for name in ("a", "b")]
        assert len({(export.target, export.lun) for export in exports}) == 2

    def test_exporting_again_is_fine_and_changes_the_secret(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        first = bench.luns.export("a", NODE1, CHAP)
        bench.log_in("a", NODE1, CHAP)
        newer = replace(CHAP, secret="newer-secret")
        assert bench.luns.export("a", NODE1, newer) == first
        assert len(bench.luns.sessions("a")) == 1
        bench.log_out("a", NODE1)
        with pytest.raises(Exception):  # noqa: B017 - each initiator has its own words
            bench.log_in("a", NODE1, CHAP)
        bench.log_in("a", NODE1, newer)

    def test_a_volume_is_exported_to_one_initiator(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.export("a", NODE1, CHAP)
        with pytest.raises(LunRefused, match=f"exported to {NODE1}"):
            bench.luns.export("a", NODE2, CHAP)
        bench.luns.unexport("a")
        assert bench.luns.export("a", NODE2, CHAP).initiator == NODE2

    def test_a_chap_user_has_one_secret(self, bench: Bench) -> None:
        for name in ("a", "b"):
            bench.luns.create(name, SIZE)
        bench.luns.export("a", NODE1, CHAP)
        with pytest.raises(LunRefused, match="CHAP user node1 has another secret for volume a"):
            bench.luns.export("b", NODE1, replace(CHAP, secret="newer-secret"))
        assert bench.luns.volume("b").export is None
        bench.luns.export("b", NODE1, CHAP)
        for name in ("a", "b"):
            bench.log_in(name, NODE1, CHAP)

    def test_what_a_machine_has_left_is_unexported_while_it_uses_another(self, bench: Bench) -> None:
        for name in ("a", "b"):
            bench.luns.create(name, SIZE)
            bench.luns.export(name, NODE1, CHAP)
            bench.log_in(name, NODE1, CHAP)
        bench.log_out("a", NODE1)
        bench.luns.unexport("a")
        assert [one.volume for one in bench.luns.sessions()] == ["b"]
        bench.log_out("b", NODE1)
        bench.log_in("b", NODE1, CHAP)

    def test_malformed_initiators_and_secrets_are_refused(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        for initiator, chap in (("node1", CHAP), (NODE1, Chap("node1", "short"))):
            with pytest.raises(LunRefused):
                bench.luns.export("a", initiator, chap)
        assert bench.luns.volume("a").export is None

    def test_an_exported_volume_is_not_written(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.export("a", NODE1, CHAP)
        with pytest.raises(LunRefused, match="unexport it first"):
            bench.luns.write("a", BytesSource(IMAGE))
        assert bench.luns.volume("a").is_whole
        assert bench.content("a") == bytes(SIZE)

    def test_unexporting_may_be_repeated(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.export("a", NODE1, CHAP)
        for name in ("a", "a", "not-there"):
            bench.luns.unexport(name)
        assert bench.luns.volumes() == [Volume("a", SIZE)]
        with pytest.raises(Exception):  # noqa: B017 - each initiator has its own words
            bench.log_in("a", NODE1, CHAP)

    # -- sessions

    def test_what_has_sessions_is_neither_deleted_nor_unexported(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.export("a", NODE1, CHAP)
        bench.log_in("a", NODE1, CHAP)
        for verb in (bench.luns.delete, bench.luns.unexport):
            with pytest.raises(LunBusy, match=f"in use by {NODE1}") as caught:
                verb("a")
            assert [type(one) for one in caught.value.sessions] == [Session]
            assert not caught.value.is_permanent
        assert bench.luns.volume("a").export is not None
        bench.log_out("a", NODE1)
        bench.luns.delete("a")
        assert bench.luns.volumes() == []

    def test_a_session_that_was_left_behind_is_ended_by_force(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.export("a", NODE1, CHAP)
        bench.log_in("a", NODE1, CHAP)
        bench.luns.unexport("a", force=True)
        assert bench.luns.sessions() == []
        bench.luns.delete("a")
        assert bench.luns.volumes() == []

    def test_a_volume_in_use_can_be_cloned(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.export("a", NODE1, CHAP)
        bench.log_in("a", NODE1, CHAP)
        assert bench.luns.clone("a", "b") == Volume("b", SIZE, parent="a")
        assert bench.luns.sessions("b") == []
        assert len(bench.luns.sessions("a")) == 1

    # -- what was written, and what is brought back

    def test_what_was_written_to_a_clone_is_told_or_not_known(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.write("a", BytesSource(IMAGE))
        bench.luns.clone("a", "b")
        assert bench.luns.written("a") is None
        assert bench.luns.written("b") in (0, None)
        bench.luns.export("b", NODE1, CHAP)
        bench.log_in("b", NODE1, CHAP)
        bench.write("b", NODE1, b"x" * 4096)
        written = bench.luns.written("b")
        assert written is None or 4096 <= written < 64 << 10
        bench.luns.clone("a", "c")
        assert bench.luns.written("c") in (0, None)

    def test_what_was_written_is_asked_of_volumes_that_are_there(self, bench: Bench) -> None:
        with pytest.raises(LunMissing):
            bench.luns.written("x")

    def test_restoring_changes_nothing_where_all_is_well(self, bench: Bench) -> None:
        bench.luns.create("a", SIZE)
        bench.luns.create("b", SIZE)
        export = bench.luns.export("a", NODE1, CHAP)
        bench.log_in("a", NODE1, CHAP)
        assert bench.luns.restore() == []
        assert [(one.name, one.export) for one in bench.luns.volumes()] == [("a", export), ("b", None)]
        assert len(bench.luns.sessions()) == 1


class InterruptedJob(Exception):
    """Raised in progress."""


class FakeBench(Bench):
    def __init__(self, folder: Path) -> None:
        self.fake = FakeLuns(Tools(folder / "luns"))
        self.luns = self.fake

    def log_in(self, volume: str, initiator: str, chap: Chap) -> None:
        self.fake.log_in(volume, initiator, chap)

    def log_out(self, volume: str, initiator: str) -> None:
        self.fake.log_out(volume, initiator)

    def write(self, volume: str, initiator: str, octets: bytes) -> None:
        self.fake.play_write(volume, octets)


class TestFake(LunContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return FakeBench(tmp_path)


class TgtBench(Bench):
    """The initiators are libiscsi's, and come over TCP."""

    def __init__(self, folder: Path, tgtd: PrivateTgtd) -> None:
        self.luns = TgtLuns(Tools(folder / "luns"), socket=tgtd.socket)
        self._portal = tgtd.portal
        self._initiators: dict[tuple[str, str], Initiator] = {}

    def log_in(self, volume: str, initiator: str, chap: Chap) -> None:
        target = f"iqn.2026-01.bootd.tgt:{volume}"  # a machine may try one that is not exported
        session = Initiator(initiator, self._portal, target, 1, chap.user, chap.secret)
        self._initiators[volume, initiator] = session

    def log_out(self, volume: str, initiator: str) -> None:
        self._initiators.pop((volume, initiator)).log_out()

    def write(self, volume: str, initiator: str, octets: bytes) -> None:
        self._initiators[volume, initiator].write(0, octets)

    def close(self) -> None:
        for session in self._initiators.values():
            session.log_out()


@pytest.mark.root
class TestTgt(LunContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        with private_tgtd() as tgtd:
            bench = TgtBench(tmp_path, tgtd)
            yield bench
            bench.close()


class OntapBench(Bench):
    """The machines are played by the same server that plays the REST API."""

    def __init__(self, folder: Path, ontap: Ontap, host: str, ca_file: Path) -> None:
        self._ontap = ontap
        (folder / "password").write_text(PASSWORD + "\n")
        site = OntapSite(host, USER, folder / "password", SVM, VOLUME, ca_file=ca_file)
        self.luns = OntapLuns(Tools(folder / "luns"), site)

    def log_in(self, volume: str, initiator: str, chap: Chap) -> None:
        self._ontap.log_in(volume, initiator, chap.user, chap.secret)

    def log_out(self, volume: str, initiator: str) -> None:
        self._ontap.log_out(volume, initiator)

    def write(self, volume: str, initiator: str, octets: bytes) -> None:
        self._ontap.machine_writes(volume, initiator, octets)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("ontap"))


class TestOntap(LunContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, pem: Path) -> Iterator[Bench]:
        with ontap_system(pem) as (ontap, host):
            yield OntapBench(tmp_path, ontap, host, pem)

    def test_what_a_machine_has_left_is_unexported_while_it_uses_another(self, bench: Bench) -> None:
        """ONTAP tells that a machine is there, not which of its LUNs it uses: it takes force."""
        for name in ("a", "b"):
            bench.luns.create(name, SIZE)
            bench.luns.export(name, NODE1, CHAP)
            bench.log_in(name, NODE1, CHAP)
        bench.log_out("a", NODE1)
        with pytest.raises(LunBusy):
            bench.luns.unexport("a")
        bench.luns.unexport("a", force=True)
        assert [one.volume for one in bench.luns.sessions()] == ["b"]
        bench.log_out("b", NODE1)
        bench.log_in("b", NODE1, CHAP)


class PlayedLioBench(Bench):
    """Our orders to LIO, in a folder that plays the kernel."""

    def __init__(self, folder: Path) -> None:
        self._kernel = PlayedConfigfs(folder / "target")
        self.luns = LioLuns(Tools(folder / "luns"), tree=self._kernel)

    def log_in(self, volume: str, initiator: str, chap: Chap) -> None:
        self._kernel.log_in(target_of(volume), initiator, chap.user, chap.secret)

    def log_out(self, volume: str, initiator: str) -> None:
        self._kernel.log_out(target_of(volume), initiator)

    def write(self, volume: str, initiator: str, octets: bytes) -> None:
        self._kernel.machine_writes(target_of(volume), octets)


class TestLioPlayed(LunContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return PlayedLioBench(tmp_path)


LIO_PORT = 33260  # of the tests' own portals
PATIENCE_S = 10.0


class LioBench(Bench):
    """The kernel's own target; the initiators are libiscsi's."""

    def __init__(self, folder: Path) -> None:
        self.lio = LioLuns(Tools(folder / "luns"), portals=[f"127.0.0.1:{LIO_PORT}"])
        self.luns = self.lio
        self._initiators: dict[tuple[str, str], Initiator] = {}

    def log_in(self, volume: str, initiator: str, chap: Chap) -> None:
        where = f"127.0.0.1:{LIO_PORT}"
        session = Initiator(initiator, where, target_of(volume), 1, chap.user, chap.secret)
        self._initiators[volume, initiator] = session

    def log_out(self, volume: str, initiator: str) -> None:
        """End the session and wait: the kernel tells it for some moments more."""
        self._initiators.pop((volume, initiator)).log_out()
        waited = 0.0
        while self.lio.sessions(volume) and waited < PATIENCE_S:
            time.sleep(0.02)
            waited += 0.02

    def write(self, volume: str, initiator: str, octets: bytes) -> None:
        self._initiators[volume, initiator].write(0, octets)

    def close(self) -> None:
        for session in self._initiators.values():
            session.log_out()
        for volume in self.luns.volumes():
            self.luns.unexport(volume.name, force=True)


@pytest.mark.root
class LioContract(LunContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        bench = LioBench(tmp_path)
        yield bench
        bench.close()


if Configfs().is_there():
    TestLio = LioContract
else:

    @pytest.mark.root
    def test_lio_of_this_kernel() -> None:
        pytest.skip("LIO IS NOT TESTED HERE: no such kernel (tests/vm/test_lio.py has a machine with one)")
