"""A few thousand mutants of every fuzz target, the same on every run; `make fuzz` tries more."""

import random

import pytest

from tests.fuzz.mutate import mutant
from tests.fuzz.targets import Broken, Target, all_targets

TARGETS = all_targets()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_seed_is_taken(target):
    assert target.seeds
    for data in target.seeds:
        target.try_one(data)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("seed", range(4))
def test_no_mutant_gets_through(target, seed):
    target.try_mutants(1000, seed)


def test_mutants_are_the_same_for_the_same_seed():
    first, again = ([mutant([b"abcdef" * 9], rng) for _ in range(50)] for rng in map(random.Random, (1, 1)))
    assert first == again
    assert len(set(first)) > 40


def test_a_target_that_lets_an_error_out_is_caught_with_its_datagram():
    careless = Target("careless", lambda data: data.decode("ascii") and None, [b"plain text"])
    with pytest.raises(Broken, match=r"careless: bytes.fromhex\('[0-9a-f]+'\)") as caught:
        careless.try_mutants(1000, 1)
    assert isinstance(caught.value.__cause__, UnicodeDecodeError)
