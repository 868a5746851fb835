"""What every LUN backend does: Linux's own target, played by a folder, and the kernel's where it has one."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.drivers.lun import Chap
from bootd.drivers.lun.configfs import Configfs
from bootd.drivers.lun.lio import LioLuns
from bootd.drivers.lun.lio_plan import target_of
from bootd.drivers.tools import Tools
from tests.helpers.configfs import PlayedConfigfs
from tests.helpers.initiator import Initiator
from tests.helpers.lunbench import Bench
from tests.helpers.lunexports import ExportContract
from tests.helpers.lunvolumes import VolumeContract


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


class TestLioPlayed(VolumeContract, ExportContract):
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
class LioContract(VolumeContract, ExportContract):
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
