"""What becomes of a client's options."""

import pytest

from netboot.tftp.negotiate import Agreement, Limits, negotiate

SIZE = 70_000
LIMITS = Limits(block_size=1468, window_size=64, timeout=60)


def accepted(*options: tuple[str, str], size: int | None = SIZE) -> tuple[tuple[str, str], ...]:
    return negotiate(options, size=size, limits=LIMITS).accepted


def test_without_options_rfc_1350_holds() -> None:
    assert negotiate((), size=SIZE) == Agreement(block_size=512, window_size=1, timeout=None, accepted=())


def test_ipxe_gets_what_it_asked_for_in_its_order() -> None:
    agreement = negotiate((("blksize", "1432"), ("tsize", "0")), size=SIZE, limits=LIMITS)
    assert agreement == Agreement(block_size=1432, accepted=(("blksize", "1432"), ("tsize", "70000")))


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        pytest.param(("foo", "bar"), None, id="unknown"),
        pytest.param(("multicast", ""), None, id="multicast-as-ipxe-asks"),
        pytest.param(("blksize", "7"), None, id="blksize-below"),
        pytest.param(("blksize", "8"), "8", id="blksize-least"),
        pytest.param(("blksize", "0"), None, id="blksize-zero"),
        pytest.param(("blksize", "-5"), None, id="blksize-negative"),
        pytest.param(("blksize", "abc"), None, id="blksize-word"),
        pytest.param(("blksize", "²"), None, id="blksize-superscript"),
        pytest.param(("blksize", "70000"), "1468", id="blksize-above"),
        pytest.param(("blksize", "9" * 400), None, id="blksize-four-hundred-digits"),
        pytest.param(("BLKSIZE", "1024"), "1024", id="blksize-upper-case"),
        pytest.param(("tsize", "0"), "70000", id="tsize"),
        pytest.param(("timeout", "3"), "3", id="timeout-is-what-was-asked"),
        pytest.param(("timeout", "0"), None, id="timeout-zero"),
        pytest.param(("timeout", "256"), None, id="timeout-above"),
        pytest.param(("timeout", "200"), None, id="timeout-longer-than-we-keep-a-transfer"),
        pytest.param(("windowsize", "4"), "4", id="windowsize-of-edk2"),
        pytest.param(("windowsize", "65535"), "64", id="windowsize-clamped"),
        pytest.param(("windowsize", "0"), None, id="windowsize-zero"),
        pytest.param(("windowsize", "65536"), None, id="windowsize-above"),
    ],
)
def test_one_option(option: tuple[str, str], answer: str | None) -> None:
    assert accepted(option) == (() if answer is None else ((option[0], answer),))


def test_an_option_counts_once_whatever_its_case() -> None:
    assert accepted(("blksize", "1024"), ("BLKSIZE", "512")) == (("blksize", "1024"),)


def test_a_bad_value_does_not_hide_a_good_one() -> None:
    assert accepted(("blksize", "x"), ("blksize", "1024")) == (("blksize", "1024"),)


def test_no_size_is_told_where_nobody_knows_it() -> None:
    assert accepted(("tsize", "0"), size=None) == ()


@pytest.mark.parametrize("asked", ["65464", "65465", "4294967296"])
def test_blksize_never_exceeds_rfc_2348_even_without_a_frame_to_fit(asked: str) -> None:
    assert negotiate((("blksize", asked),), size=0).block_size == 65464
