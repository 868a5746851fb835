"""What every LUN backend does: those whose target is in this process, or is tgtd."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.drivers.lun import Chap
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.tools import Tools
from tests.helpers.initiator import Initiator
from tests.helpers.lunbench import Bench
from tests.helpers.lunexports import ExportContract
from tests.helpers.lunvolumes import VolumeContract
from tests.helpers.tgtd import PrivateTgtd, private_tgtd


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


class TestFake(VolumeContract, ExportContract):
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
class TestTgt(VolumeContract, ExportContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        with private_tgtd() as tgtd:
            bench = TgtBench(tmp_path, tgtd)
            yield bench
            bench.close()
