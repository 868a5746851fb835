"""Every backend there is, each fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.store import Store, open_store
from tests.helpers.site import HandClock

pytest.register_assert_rewrite("tests.helpers.lunvolumes", "tests.helpers.lunexports")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Iterator[Store]:
    url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/bootd.db"
    with open_store(url, clock=clock) as opened:
        yield opened
