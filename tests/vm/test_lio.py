"""Linux's own target does what our orders ask for: the contract suite in a machine whose kernel has LIO."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from bootd.drivers.lun.configfs import Configfs
from tests.helpers.guest import ENDED, run_in_guest

pytestmark = pytest.mark.vm

ROOT = Path(__file__).parents[2]
SUITE = "tests/contract/test_lun_lio.py::TestLio"
MODULES = ("target_core_mod", "target_core_file", "iscsi_target_mod", "crc32c_generic")
PATIENCE_S = 540


@pytest.mark.skipif(Configfs().is_there(), reason="this kernel has LIO: tests/contract tests it here")
def test_the_kernels_target_keeps_every_promise_of_a_lun_backend(tmp_path: Path) -> None:
    python, root = shlex.quote(sys.executable), shlex.quote(str(ROOT))
    said = run_in_guest(
        f"export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1 TMPDIR=/dev/shm\n"
        f"cd {root} && {python} -m pytest -q -p no:cacheprovider {SUITE}",
        modules=MODULES,
        folder=tmp_path,
        patience_s=PATIENCE_S,
    )
    assert f"{ENDED}0" in said, said[-20_000:]
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None, said[-20_000:]
    assert int(passed[1]) > 30, said[-20_000:]
    assert "skipped" not in said[passed.start() :]
