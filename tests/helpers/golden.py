"""Golden files: what a machine really said, and what we say back."""

import os
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent.parent / "golden"


def assert_golden(name: str, actual: str) -> None:
    """Compare *actual* with tests/golden/*name*; UPDATE_GOLDEN=1 rewrites it."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual)
        pytest.fail(f"{name} rewritten; rerun without UPDATE_GOLDEN")
    assert actual == path.read_text(), f"{name} differs; make golden, then read the diff"
