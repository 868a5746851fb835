"""Leases of a process that was killed: known by its name, and freed by the next one at once."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from bootd.store import Store
from bootd.workers.holders import free_leases_of_the_dead, new_holder
from tests.helpers.site import NOON, memory_store

UNTIL = NOON + timedelta(minutes=1)


@pytest.fixture
def store():
    with memory_store() as store:
        yield store


def take(store: Store, holder: str) -> None:
    with store.transaction("calendar") as change:
        assert change.take_lease("job/1", holder, now=NOON, until=UNTIL)


def name_of_another_process() -> str:
    """Return the name that a process of its own gave itself; it has ended by then."""
    program = "from bootd.workers.holders import new_holder; print(new_holder())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_lease_of_a_dead_process_is_free_at_once(store: Store) -> None:
    take(store, f"{name_of_another_process()}:2")
    assert free_leases_of_the_dead(store) == ["job/1"]
    assert store.lease("job/1") is None


def test_lease_of_a_living_process_stays(store: Store) -> None:
    world = new_holder().partition(":")[0]
    take(store, f"{world}:{os.getppid()}:abcd")
    assert free_leases_of_the_dead(store) == []


def test_our_own_leases_stay(store: Store) -> None:
    take(store, new_holder())
    assert free_leases_of_the_dead(store) == []


@pytest.mark.parametrize("holder", ["elsewhere:1:ab", "here", "", "0-0.1:x:y"])
def test_what_cannot_be_known_to_be_dead_is_waited_for(store: Store, holder: str) -> None:
    take(store, holder)
    assert free_leases_of_the_dead(store) == []
    assert store.lease("job/1") is not None
