"""The promises of LUN backends: volumes, images, clones."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bootd.drivers.lun import LunMissing, LunRefused, Volume
from bootd.drivers.source import BytesSource, FileSource
from tests.helpers.lunbench import CHAP, IMAGE, NODE1, SIZE, Bench, Liar


class InterruptedJob(Exception):
    """Raised in progress."""


class VolumeContract:
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
