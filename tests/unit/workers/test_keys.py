"""The keys of the calendar, LUNs and imaging, and the settings they make."""

from pathlib import Path

import pytest

from bootd.config import parse
from bootd.drivers import lun, transport
from bootd.drivers.lun.names import check_initiator
from bootd.errors import BadConfig
from bootd.services.luns import initiator
from bootd.workers import keys
from bootd.workers.settings import Settings


def found(text: str) -> Settings:
    return keys.settings(parse(text, Path("/etc/bootd/bootd.toml")).__getitem__)


def test_without_a_word_the_settings_are_the_standard_ones() -> None:
    assert found("") == Settings()


def test_each_key_has_its_setting_in_the_workers_units() -> None:
    text = """
[calendar]
window = 4
window_pause = 30
up_timeout = 600
[luns]
backend = "fake"
stage_ahead = 90
iqn = "iqn.2026-01.org.example"
[imaging]
transport = "fake"
memory_image = "writer"
rate_mbit = 900
join_timeout = 60
"""
    assert found(text) == Settings(
        lun_backend="fake",
        transport="fake",
        imager="writer",
        rate=900_000_000,
        window=4,
        window_pause_s=30.0,
        up_s=600.0,
        join_s=60.0,
        stage_ahead_s=5400.0,
        base_iqn="iqn.2026-01.org.example",
    )


@pytest.mark.parametrize(
    "iqn", ["iqn.2026-12.org.example:lab1", "iqn.2026-01.org.two-words", "iqn.1999-01.x"]
)
def test_names_that_are_taken_for_the_nodes_suit_every_initiator(iqn: str) -> None:
    base = found(f'[luns]\niqn = "{iqn}"\n').base_iqn
    check_initiator("a", initiator(base, "node1"))
    longest = initiator(
        found(f'[luns]\niqn = "{iqn + "x" * (150 - len(iqn))}"\n').base_iqn, "Node_" + "1" * 58
    )
    check_initiator("a", longest)


@pytest.mark.parametrize("name", sorted(lun.DRIVERS))
def test_every_lun_driver_may_be_named(name: str) -> None:
    ontap = 'host = "10.0.0.9"\nuser = "bootd"\npassword_file = "/secret"\nsvm = "svm1"\nvolume = "vol1"\n'
    text = f'[server]\nuser = ""\n[luns]\nbackend = "{name}"\n[luns.ontap]\n{ontap}'
    assert found(text).lun_backend == name


@pytest.mark.parametrize("name", sorted(transport.DRIVERS))
def test_every_transport_may_be_named(name: str) -> None:
    assert found(f'[imaging]\ntransport = "{name}"\n').transport == name


@pytest.mark.parametrize(
    ("table", "line", "expected"),
    [
        ("luns", 'backend = "zfs"', "one of '', 'fake'"),
        ("luns.ontap", 'password_file = "secret"', "an absolute path"),
        ("luns.ontap", 'svm = " svm1"', "a text in one line"),
        ("luns.ontap", 'verify = "no"', "true or false"),
        ("luns", "backend = true", "one of '', 'fake'"),
        ("luns", 'iqn = "example.org"', 'an iSCSI name such as "iqn.2026-01.org.example"'),
        ("luns", 'iqn = "iqn.2026-01.Example"', "an iSCSI name"),
        ("luns", 'iqn = "iqn.2026-13.org.example"', "an iSCSI name"),
        ("luns", 'iqn = "iqn.2026-01.org.example:"', "an iSCSI name"),
        ("luns", f'iqn = "iqn.2026-01.org.{"x" * 150}"', "an iSCSI name"),
        ("luns", 'portals = "10.0.0.2:3260"', 'a list of "address:port"'),
        ("luns", 'portals = ["10.0.0.2"]', 'a list of "address:port"'),
        ("luns", 'portals = ["10.0.0.2:65536"]', 'a list of "address:port"'),
        ("luns", 'portals = ["0.0.0.0:3260"]', 'a list of "address:port"'),
        ("luns", 'portals = ["storage:3260"]', 'a list of "address:port"'),
        ("luns", "control_port = -1", "a number from 0 to 32767"),
        ("imaging", 'transport = "udpcast-by-hand"', "one of '', 'fake'"),
        ("imaging", 'memory_image = "../imager"', "the name of a memory image"),
        ("imaging", "rate_mbit = 0", "Mbit/s from 1 to 1000000"),
        ("imaging", "join_timeout = 5", "seconds from 10 to 86400"),
        ("calendar", "window = 0", "a number from 1 to 1000"),
        ("calendar", "window = true", "a number from 1 to 1000"),
        ("calendar", "window_pause = -1", "seconds from 0 to 3600"),
        ("calendar", "up_timeout = 1.5", "seconds from 10 to 86400"),
        ("calendar", 'enabled = "yes"', "true or false"),
    ],
)
def test_value_that_does_not_fit_says_what_was_expected(table: str, line: str, expected: str) -> None:
    with pytest.raises(BadConfig, match=r"bootd\.toml:2: ") as caught:
        found(f"[{table}]\n{line}\n")
    assert f"expected {expected}" in str(caught.value)
