"""Amounts as people read them."""

import pytest

from bootd.units import size_text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_990, "1.0 MB"),
        (14_200_000, "14.2 MB"),
        (5 * 10**12, "5000.0 GB"),
    ],
)
def test_sizes(octets: int, text: str) -> None:
    assert size_text(octets) == text
