"""Amounts as people read them."""

import pytest

from bootd.units import count_text, exact_text, parse_size, size_text


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


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1200, "1,200 files")]
)
def test_counts(count: int, text: str) -> None:
    assert count_text(count, "file") == text


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("512", 512),
        ("512B", 512),
        ("20G", 20 << 30),
        (" 20 GiB ", 20 << 30),
        ("20GB", 20 * 10**9),
        ("1k", 1024),
    ],
)
def test_sizes_are_read_as_tools_for_disks_read_them(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5G", "20Q", "1GiBs", "٣G", "9" * 16])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("octets", [0, 511, 1 << 20, 20 << 30, 20 * 10**9, (1 << 30) + 512])
def test_exact_size_reads_back_as_it_was(octets: int) -> None:
    assert parse_size(exact_text(octets)) == octets
