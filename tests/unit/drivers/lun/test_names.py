"""Names that every backend takes, and no two things with one of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.drivers.lun import Chap, LunRefused, volume_name
from bootd.drivers.lun.names import check_chap, check_initiator, check_size, check_volume

WORDS = st.lists(st.text(max_size=80), min_size=1, max_size=3)


def test_plain_words_make_a_plain_name() -> None:
    assert volume_name("roots", "a") == "roots.a"
    assert volume_name("roots", "a", "node-12") == "roots.a.node-12"


def test_what_cannot_be_kept_is_told_apart_by_a_digest() -> None:
    assert volume_name("Root_Nodes", "a").startswith("root-nodes-a-")
    assert volume_name("Root_Nodes", "a") != volume_name("root-nodes", "a")


@settings(deadline=None)
@given(WORDS)
def test_any_words_make_a_name(words: list[str]) -> None:
    check_volume(volume_name(*words))


@settings(deadline=None)
@given(WORDS, WORDS)
def test_different_words_make_different_names(one: list[str], other: list[str]) -> None:
    assert (volume_name(*one) == volume_name(*other)) is (one == other)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "a.b", "b", "b.a", "-", ""]), min_size=1, max_size=4).map(tuple))
def test_where_one_word_ends_is_not_forgotten(words: tuple[str, ...]) -> None:
    merged = (".".join(words),)
    assert (volume_name(*words) == volume_name(*merged)) is (words == merged)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", ".", "a/b", "../x", "a\n", "é", "x" * 64])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(LunRefused, match="a name is"):
        check_volume(name)


@pytest.mark.parametrize(
    "initiator",
    [
        "iqn.2026-01.org.example:node1",
        "iqn.2010-04.org.ipxe:00112233-4455",
        "iqn.2001-04.com.example",
        "eui.02004567A425678D",
        "naa.52004567BA64678D",
        "naa.62004567BA64678D0123456789ABCDEF",
    ],
)
def test_initiators_as_the_standard_writes_them(initiator: str) -> None:
    check_initiator("a", initiator)


@pytest.mark.parametrize(
    "initiator",
    [
        "",
        "node1",
        "iqn.2026-13.org.example:x",
        "iqn.26-01.org.example",
        "iqn.2026-01.org.example:",
        "iqn.2026-01.org.example:NODE",
        "iqn.2026-01.org.example:a b",
        "iqn.2026-01.org.example:x\n",
        "iqn.2026-01.org." + "e" * 223,
        "eui.0200",
        "naa.52004567BA64678",
    ],
)
def test_malformed_initiators_are_refused(initiator: str) -> None:
    with pytest.raises(LunRefused, match="no iSCSI name"):
        check_initiator("a", initiator)


@pytest.mark.parametrize("secret", ["", "elevenchars", "seventeen-letters", "with a blank", "ümlaut-secret"])
def test_a_secret_that_some_initiator_would_not_take_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(LunRefused, match="12 to 16") as caught:
        check_chap("a", Chap("node1", secret))
    assert not secret or secret not in str(caught.value)
    assert not secret or secret not in repr(Chap("node1", secret))


def test_a_chap_name_without_sense_is_refused() -> None:
    with pytest.raises(LunRefused, match="no CHAP name"):
        check_chap("a", Chap("node 1", "secret-secret"))


@pytest.mark.parametrize("size", [0, -512, 511, 513])
def test_a_size_is_whole_blocks(size: int) -> None:
    with pytest.raises(LunRefused, match="no size"):
        check_size("a", size)
