"""File names as boot ROMs spell them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netboot.errors import WireError
from netboot.tftp.names import name_candidates, printable_name


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        pytest.param(b"pxelinux.0", ("pxelinux.0",), id="plain"),
        pytest.param(b"/pxelinux.0", ("pxelinux.0",), id="absolute"),
        pytest.param(b"//pxelinux.0", ("pxelinux.0",), id="two-slashes"),
        pytest.param(b"\\pxelinux.0", ("pxelinux.0",), id="backslash"),
        pytest.param(b"\\Boot\\BCD", ("Boot/BCD",), id="windows"),
        pytest.param(b"a//b/./c/", ("a/b/c",), id="empty-and-dot-parts"),
        pytest.param(b"pxelinux.0\xff", ("pxelinux.0\udcff", "pxelinux.0"), id="literal-before-trimmed"),
        pytest.param(b"file name ", ("file name ", "file name"), id="blank-at-the-end"),
        pytest.param(b"pxelinux.0\n", ("pxelinux.0",), id="control-at-the-end-only-trimmed"),
        pytest.param(b"undi\0junk", ("undi",), id="up-to-nul"),
        pytest.param(b"%2e%2e/x", ("%2e%2e/x",), id="percent-means-nothing-here"),
        pytest.param(b"a..b/...", ("a..b/...",), id="dots-in-a-name"),
        pytest.param("pxelinux.cfg/é".encode(), ("pxelinux.cfg/é",), id="utf-8"),
        pytest.param(b"pxelinux.cfg/01-88-99", ("pxelinux.cfg/01-88-99",), id="pxelinux"),
    ],
)
def test_spellings_of_a_name(raw: bytes, names: tuple[str, ...]) -> None:
    assert name_candidates(raw) == names


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", "tftp-name-empty", id="empty"),
        pytest.param(b"///", "tftp-name-empty", id="only-slashes"),
        pytest.param(b"../../etc/passwd", "tftp-name-dotdot", id="up"),
        pytest.param(b"..\\..\\etc\\passwd", "tftp-name-dotdot", id="up-with-backslashes"),
        pytest.param(b"/../x", "tftp-name-dotdot", id="up-from-the-root"),
        pytest.param(b"a/../../x", "tftp-name-dotdot", id="up-from-below"),
        pytest.param(b"C:\\boot.ini", "tftp-name-drive", id="drive"),
        pytest.param(b"a\nb", "tftp-name-control", id="control"),
        pytest.param(b"n" * 256, "tftp-name-long", id="long"),
    ],
)
def test_names_that_are_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        name_candidates(raw)
    assert caught.value.reason == reason


@pytest.mark.parametrize("raw", [b"\xff", b"a/..\xff"])
def test_trimming_does_not_make_a_refused_name_of_a_harmless_one(raw: bytes) -> None:
    assert name_candidates(raw) == (raw.decode("utf-8", "surrogateescape"),)


@given(st.binary(max_size=300))
def test_a_name_never_leads_out_of_a_folder(raw: bytes) -> None:
    try:
        names = name_candidates(raw)
    except WireError:
        return
    for name in names:
        assert os.path.normpath(f"/root/{name}") == f"/root/{name}"
        assert "\0" not in name


def test_a_name_in_a_log_is_printable_and_short() -> None:
    assert printable_name(b"a\x1b[2J\xff\0") == "a\\x1b[2J\\xff\\x00"
    assert len(printable_name(b"n" * 5000)) == 255
