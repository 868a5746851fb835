"""``bootd reservations feed`` as people type it."""

import re

import pytest

from tests.helpers.bookings import furnish
from tests.helpers.command import Bootd


@pytest.fixture(autouse=True)
def furnished(bootd: Bootd) -> None:
    with bootd.store() as store:
        furnish(store)


def test_an_address_is_shown_once_and_the_list_has_none(bootd: Bootd) -> None:
    made = bootd.good("reservations", "feed", "add", "--project", "mesh")
    [url] = made.out.splitlines()
    assert re.fullmatch(r"http://[^/]+:8080/calendar/[\w-]{43}\.ics", url)
    bootd.good("reservations", "feed", "add")
    listed = bootd.good("reservations", "feed", "list")
    assert [line.split()[:2] for line in listed.out.splitlines()] == [
        ["FEED", "PROJECT"],
        ["1", "mesh"],
        ["2", "(all)"],
    ]
    assert url.rpartition("/")[2].removesuffix(".ics") not in listed.out


def test_json_names_the_feed_and_its_address(bootd: Bootd) -> None:
    made = bootd.good("reservations", "feed", "add", "--json").json
    assert (made["feed"], made["project"]) == (1, None)
    assert made["url"].endswith(".ics")
    [listed] = bootd.good("reservations", "feed", "list", "--json").json
    assert listed == {key: made[key] for key in ("feed", "project", "made_at", "made_by")}


def test_a_removed_feed_is_off_the_list(bootd: Bootd) -> None:
    bootd.good("reservations", "feed", "add")
    assert bootd.good("reservations", "feed", "remove", "1").out == "removed feed 1, all reservations\n"
    assert bootd.good("reservations", "feed", "list", "--json").json == []
    refused = bootd("reservations", "feed", "remove", "1")
    assert (refused.status, refused.err) == (1, "bootd: no calendar feed '1'\n")


def test_a_project_that_is_not_there_is_named(bootd: Bootd) -> None:
    refused = bootd("reservations", "feed", "add", "--project", "mash")
    assert refused.status == 1
    assert refused.err.startswith("bootd: no project 'mash'")
