"""Damage done to good datagrams, the same for the same seed."""

import random

# Lengths, signs and ends: what parsers trip over.
_INTERESTING = (0, 1, 2, 3, 4, 6, 16, 17, 43, 52, 53, 60, 67, 82, 97, 127, 128, 175, 254, 255)


def mutant(seeds: list[bytes], rng: random.Random) -> bytes:
    """Return one of *seeds* after one to four damages."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 4)):
        rng.choice(_DAMAGES)(data, seeds, rng)
    return bytes(data)


def _place(data: bytearray, rng: random.Random) -> int:
    return rng.randrange(len(data)) if data else 0


def _flip(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _write(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] = rng.choice(_INTERESTING)


def _cut(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.randint(1, 16)]


def _insert(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = bytes(rng.choice(_INTERESTING) for _ in range(rng.randint(1, 16)))


def _repeat(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = data[at : at + rng.randint(1, 300)]


def _splice(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    other = rng.choice(seeds)
    at = _place(data, rng)
    data[at:] = other[min(at, len(other)) :]


_DAMAGES = (_flip, _write, _write, _cut, _remove, _insert, _repeat, _splice)
