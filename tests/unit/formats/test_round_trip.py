"""Any table survives any format, and no text whatever brings out another error than `BadText`."""

from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bootd.errors import BadText, BadValue
from bootd.formats import FORMATS, Format, ssitab
from bootd.formats.fields import RESERVED, host_name, setting, unique_values
from bootd.model import SETTING_VALUES, Host, Role

_WORD = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)
_MAC = st.integers(1, 2**40 - 1).map(lambda n: (n | 0x52 << 40).to_bytes(6, "big").hex(":"))
_IP = st.tuples(st.integers(1, 126), st.integers(0, 255)).map(lambda ab: f"{ab[0]}.{ab[1]}.0.7")
_KEY = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda key: key not in RESERVED and key not in SETTING_VALUES and key != "uuid"
)
_VALUE = st.text(min_size=1, max_size=12).filter(lambda v: not any(ord(c) < 32 or ord(c) == 127 for c in v))


def _good_name(text: str) -> bool:
    with suppress(BadValue):
        return bool(host_name(text))
    return False


HOSTS = st.builds(
    Host,
    name=_WORD.filter(_good_name),
    mac=_MAC,
    ip=st.none() | _IP,
    number=st.none() | st.integers(1, 65535),
    role=st.sampled_from(Role),
    local_boot=st.none() | st.sampled_from(["/dev/sda1", "/dev/disk/by-id/x:1"]),
    groups=st.lists(_WORD, unique=True, max_size=3).map(tuple),
    settings=st.dictionaries(_KEY, _VALUE, max_size=3),
)


def _differ(hosts: list[Host]) -> list[Host]:
    """Leave out hosts that would take a value from one before them."""
    taken: set[tuple[str, str]] = set()
    kept = []
    for host in hosts:
        values = set(unique_values(host))
        if not values & taken:
            taken |= values
            kept.append(host)
    return kept


_QUIETLY = settings(deadline=None, max_examples=60)  # no deadline: the machine may be busy
TABLES = st.lists(HOSTS, max_size=5).map(_differ)
FORMAT = st.sampled_from(list(FORMATS.values()))


@_QUIETLY
@given(FORMAT, TABLES)
def test_what_is_written_is_read_back(format: Format, hosts: list[Host]) -> None:  # noqa: A002
    assert [row.host for row in format.parse(format.format_hosts(hosts))] == hosts


@_QUIETLY
@given(TABLES, TABLES)
def test_an_old_layout_never_costs_a_host(before: list[Host], now: list[Host]) -> None:
    text = ssitab.format_hosts(now, ssitab.format_hosts(before))
    read = [row.host for row in ssitab.parse(text)]
    assert sorted(read, key=lambda host: host.name) == sorted(now, key=lambda host: host.name)


@_QUIETLY
@example([], '"')
@example([], "name=x # half a line")
@example([], "\u2003")  # blank to Unicode, a word to us
@example([], "\x1c#\x00")
@given(TABLES, st.text())
def test_any_text_may_be_a_layout(hosts: list[Host], layout: str) -> None:
    read = {row.host.name: row.host for row in ssitab.parse(ssitab.format_hosts(hosts, layout))}
    assert read == {host.name: host for host in hosts}


_FRAGMENT = st.sampled_from(
    [
        "52:54:00:00:00:01",
        "10.0.0.1",
        "7",
        "yes",
        "/dev/sda1",
        "name=",
        "x=",
        '"',
        "\\",
        "#",
        " ",
        "\n",
        ",",
        "mac",
        "[",
        "{",
        "}",
        "]",
        ":",
    ]
) | st.text(max_size=4)


@_QUIETLY
@given(FORMAT, st.lists(_FRAGMENT, max_size=30).map("".join))
def test_only_bad_text_ever_escapes(format: Format, text: str) -> None:  # noqa: A002
    with suppress(BadText):
        format.parse(text)


def test_a_setting_named_like_a_field_is_refused() -> None:
    for key in RESERVED:
        with pytest.raises(BadValue):
            setting(key, "x")
