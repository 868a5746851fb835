import re
import stat
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.boot.attempt import Attempt, Attempts, parse_attempt
from bootd.boot.token import SECRET_SIZE, TokenFacts, TokenRefused, Tokens, read_or_make_secret
from bootd.errors import Refused

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MAC = "52:54:00:ab:cd:01"
OTHER = "52:54:00:ab:cd:02"
SECRET = b"s" * SECRET_SIZE
NONCE = b"\1\2\3\4"


def tokens(secret=SECRET, nonce=NONCE):
    return Tokens(secret, nonce=lambda size: nonce)


def after(**gone):
    return NOON + timedelta(**gone)


def test_a_token_says_what_it_was_made_for():
    text = tokens().mint(MAC, 7, NOON)
    assert tokens().check(text, after(minutes=2)) == TokenFacts(MAC, 7, NOON, NONCE)
    assert tokens().check(tokens().mint(MAC, None, NOON), NOON) == TokenFacts(MAC, None, NOON, NONCE)


@given(st.binary(min_size=4, max_size=4), st.integers(1, 2**32 - 1))
def test_a_token_fits_a_kernel_command_line_and_a_form_as_it_is(nonce, override):
    assert re.fullmatch(r"[A-Za-z0-9_-]{48}", tokens(nonce=nonce).mint(MAC, override, NOON))


def test_two_tokens_of_one_second_differ():
    real = Tokens(SECRET)
    assert real.mint(MAC, None, NOON) != real.mint(MAC, None, NOON)


def test_a_token_of_another_machine_is_refused():
    text = tokens().mint(MAC, 7, NOON)
    assert tokens().check(text, NOON, mac=OTHER) == TokenRefused("token-other-machine")
    assert tokens().check(text, NOON, mac=MAC) == TokenFacts(MAC, 7, NOON, NONCE)


@pytest.mark.parametrize(
    ("at", "good"),
    [
        (after(hours=23, minutes=59), True),
        (after(hours=24), False),
        (after(days=400), False),
        (after(minutes=-5), True),
        (after(minutes=-6), False),
    ],
)
def test_a_token_is_good_for_a_day_and_a_little_slip_of_the_clock(at, good):
    result = tokens().check(tokens().mint(MAC, None, NOON), at)
    assert result == (TokenFacts(MAC, None, NOON, NONCE) if good else TokenRefused("token-expired"))


@given(st.integers(0, 47), st.sampled_from("ABCxyz019_-"))
def test_a_token_with_any_character_changed_is_refused(at, character):
    text = tokens().mint(MAC, 7, NOON)
    if text[at] == character:
        return
    forged = text[:at] + character + text[at + 1 :]
    assert tokens().check(forged, NOON) == TokenRefused("token-forged")


def test_a_token_of_another_installation_is_refused():
    text = tokens(b"t" * SECRET_SIZE).mint(MAC, 7, NOON)
    assert tokens().check(text, NOON) == TokenRefused("token-forged")


@given(st.text(max_size=60))
def test_text_that_is_no_token_is_refused_and_nothing_is_raised(text):
    assert isinstance(tokens().check(text, NOON), TokenRefused)


def test_a_used_token_is_refused_and_others_are_not():
    mine = tokens()
    text = mine.mint(MAC, 7, NOON)
    facts = mine.check(text, NOON)
    mine.use_up(facts, NOON)
    assert mine.check(text, NOON) == TokenRefused("token-used")
    assert isinstance(mine.check(tokens(nonce=b"abcd").mint(MAC, 7, NOON), NOON), TokenFacts)
    assert isinstance(mine.check(tokens().mint(OTHER, 7, NOON), NOON), TokenFacts)


def test_used_tokens_are_forgotten_once_they_would_be_refused_for_their_age():
    mine = tokens()
    mine.use_up(mine.check(mine.mint(MAC, 7, NOON), NOON), NOON)
    mine.use_up(TokenFacts(OTHER, None, after(days=1), b"abcd"), after(days=1))
    assert list(mine._used) == [(OTHER, b"abcd")]


def test_the_secret_is_made_once_and_for_us_alone(tmp_path):
    path = tmp_path / "secret"
    first = read_or_make_secret(path)
    assert len(first) == SECRET_SIZE
    assert read_or_make_secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_two_installations_have_different_secrets(tmp_path):
    assert read_or_make_secret(tmp_path / "a") != read_or_make_secret(tmp_path / "b")


def test_a_secret_that_was_damaged_is_not_used(tmp_path):
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(Refused, match="5 octets where a secret of 32 belongs"):
        read_or_make_secret(tmp_path / "secret")


@given(st.integers(1, 2**40) | st.none())
def test_an_attempt_id_is_read_back(override):
    attempt = Attempt(MAC, override)
    text = Attempts(SECRET).format(attempt)
    assert parse_attempt(text) == Attempts(SECRET).check(text) == attempt


def test_an_attempt_id_is_the_same_each_time_the_rom_asks():
    assert Attempts(SECRET).format(Attempt(MAC, 7)) == Attempts(SECRET).format(Attempt(MAC, 7))
    assert Attempts(SECRET).format(Attempt(MAC, None)).startswith("0-525400abcd01-")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7-525400abcd01",
        "07-525400abcd01-00000000",
        "7-525400ABCD01-00000000",
        "-1-525400abcd01-00000000",
    ],
)
def test_what_is_no_attempt_id_is_none(text):
    assert parse_attempt(text) is None
    assert Attempts(SECRET).check(text) is None


def test_an_attempt_id_somebody_made_up_does_not_count():
    good = Attempts(SECRET).format(Attempt(MAC, 7))
    other_override = "8" + good[1:]
    assert parse_attempt(other_override) == Attempt(MAC, 8)
    assert Attempts(SECRET).check(other_override) is None
    assert Attempts(b"t" * 32).check(good) is None
