"""What every LUN backend does: NetApp's ONTAP, as a server of our own plays it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.drivers.lun import Chap, LunBusy
from bootd.drivers.lun.ontap import OntapLuns
from bootd.drivers.lun.ontap_rest import OntapSite
from bootd.drivers.tools import Tools
from tests.helpers.lunbench import CHAP, NODE1, SIZE, Bench
from tests.helpers.lunexports import ExportContract
from tests.helpers.lunvolumes import VolumeContract
from tests.helpers.ontap_server import certificate, ontap_system
from tests.helpers.ontap_state import PASSWORD, SVM, USER, VOLUME, Ontap


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


class TestOntap(VolumeContract, ExportContract):
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
