"""What holds for every test."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import suite

_TESTS = Path(__file__).parent

# The suite tries the same examples each time: whether a commit is good must not be a matter of luck.
# EXPLORE=1 tries new ones; what it finds becomes an @example.
# No deadline: a busy machine is not a mistake.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, **_PATIENT)
settings.register_profile("explore", max_examples=1000, **_PATIENT)
settings.load_profile("explore" if os.environ.get("EXPLORE") else "suite")


def _memory() -> int:
    return suite.available(Path("/proc/meminfo").read_text())


def pytest_configure() -> None:
    folder = suite.scratch(os.environ, _memory())
    if folder is not None:
        os.environ["TMPDIR"] = str(folder)  # for the workers too, and for what tests start
        tempfile.tempdir = None  # to be asked for again


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return suite.workers(len(os.sched_getaffinity(0)), _memory())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(
        config, "workerinput"
    ):  # one of several workers; who runs them all in a row sees the short first
        items.sort(key=lambda item: suite.rank(item.path, _TESTS))
