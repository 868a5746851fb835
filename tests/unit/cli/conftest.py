"""A site of its own for each test."""

from pathlib import Path

import pytest

from tests.helpers.command import Bootd


@pytest.fixture
def bootd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bootd:
    return Bootd(tmp_path, monkeypatch)
