"""One lab for all tests of real boots: machines are plugged in by each file, powered on together."""

import os
from collections.abc import Iterator

import pytest

from bootd.cli.context import cache_dir
from bootd.lab import Lab
from bootd.lab.demo import add_image
from tests.helpers.lab import lab_name


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.fail(
            "tests/vm boots machines in network namespaces: run it as root (sudo make test)", pytrace=False
        )


@pytest.fixture(scope="session")
def lab(_root: None) -> Iterator[Lab]:
    """A lab with the hello image in it, torn down after the last test."""
    with Lab(lab_name("vm")) as made:
        add_image(made, "hello", cache=cache_dir(), say=print)
        yield made
