"""What the imager's recipe makes of the real packages: the same bytes each time, and few of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.imager import built

pytestmark = pytest.mark.vm

_RECIPES = Path(__file__).parents[2] / "images"
_NEXT_YEAR_S = 400 * 86400
_BUILD = f"""
import sys, time
from pathlib import Path

now = time.time
time.time = lambda: now() + {_NEXT_YEAR_S}

from bootd.cli.context import cache_dir
from bootd.imagebuild import build

build(Path(sys.argv[1]), cache=cache_dir(), output=Path(sys.argv[2]), progress=lambda _: None)
"""


def copied(folder: Path, *, mode: int, at: float) -> Path:
    """Copy the recipes, with other rights (but for that to be run) and times, the last of them first."""
    for path in sorted(_RECIPES.rglob("*"), reverse=True):
        copy = folder / path.relative_to(_RECIPES)
        if path.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(mode | (path.stat().st_mode & 0o100))
            os.utime(copy, (at, at))
    return folder


def test_imager_built_elsewhere_with_other_rights_in_another_year_has_the_same_bytes(tmp_path: Path) -> None:
    here = built()
    recipes = copied(tmp_path / "recipes", mode=0o600, at=1_000_000_000)
    scratch, output = tmp_path / "scratch", tmp_path / "output"
    scratch.mkdir()
    other = {"PYTHONHASHSEED": "2", "TZ": "Asia/Kolkata", "LC_ALL": "C", "TMPDIR": str(scratch)}
    subprocess.run(
        [sys.executable, "-c", _BUILD, recipes / "imager", output],
        env={**os.environ, **other, "PYTHONPATH": str(_RECIPES.parent)},
        umask=0o077,
        check=True,
    )
    assert output.stat().st_mode & 0o777 == 0o700  # it was in force
    for path in (here.kernel, *here.initrds):
        assert (output / path.name).read_bytes() == path.read_bytes()


def test_small_imager_has_no_more_than_8_mb() -> None:
    [initrd] = built().initrds
    assert initrd.stat().st_size <= 8_000_000
