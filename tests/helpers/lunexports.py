"""The promises of LUN backends: who may log in, who is logged in, what was written, what is brought back."""

from dataclasses import replace

import pytest

from bootd.drivers.lun import Chap, LunBusy, LunMissing, LunRefused, Session, Volume
from bootd.drivers.source import BytesSource
from tests.helpers.lunbench import CHAP, IMAGE, NODE1, NODE2, SIZE, Bench


class ExportContract:
    """Subclasses give a fixture ``bench``."""

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
        counted = bench.luns.written("b", compare=True)
        assert counted is None or 4096 <= counted < 64 << 10
        assert (counted is None) == (not bench.luns.tells_written)
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
