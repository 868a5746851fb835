"""A token that is refused, from the machine's question over HTTP to what the job says of that machine."""

from pathlib import Path
from urllib.parse import urlencode

import pytest

from bootd.drivers.transport.course import Fate
from bootd.model import Outcome
from tests.helpers.imaging import PACE, ready
from tests.helpers.imagingport import Place, a_place
from tests.helpers.web import Site, ask

TASK, REPORT = "/node/v1/task", "/node/v1/report"
OWN, OTHER = "node2", "node3"  # the machine that asks, and the one whose token it may show


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = a_place(tmp_path, speaks=OWN)
    made.silent.add(OWN)  # what it says comes by HTTP
    return made


async def post(site: Site, path: str, **fields: str) -> int:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"job": "1", **fields}).encode()
    return (await ask(site.port, path, method="POST", headers=headers, body=body)).status


@pytest.mark.parametrize("reason", ["token-other-machine", "token-used"])
async def test_node_whose_token_is_refused_does_not_join_and_its_job_says_why(
    place: Place, reason: str
) -> None:
    place.transport.fates[OWN] = Fate(joins_after_s=None)
    place.book()
    place.live(until="watch")
    place.clock.move(seconds=1)
    async with place.boot_port() as site:
        token = place.token(site, OWN if reason == "token-used" else OTHER)
        if reason == "token-used":
            assert await post(site, REPORT, token=token, state="leaving") == 200
        assert await post(site, TASK, token=token) == (409 if reason == "token-used" else 403)
    place.live(90)
    told = f"did not join within 60 s; a token of it was refused: {reason}"
    assert place.job().facts["first"] == {OWN: told}
    assert place.slots() == {**ready("node1", "node3"), OWN: "writing"}
    place.live(600)
    assert (place.job().state, place.outcomes()[OWN], place.slots()[OWN]) == (
        "partly",
        Outcome.FAILED,
        "damaged",
    )
    assert told in place.part(OWN).note


@pytest.mark.parametrize(("whose", "status", "slot"), [(OTHER, 403, "writing"), (OWN, 200, "ready")])
async def test_slot_is_good_by_the_word_of_the_machine_whose_token_comes_with_it(
    place: Place, whose: str, status: int, slot: str
) -> None:
    place.book()
    place.live(until="verify")
    digest = place.digest(place.job())
    async with place.boot_port() as site:
        said = {"token": place.token(site, whose), "state": "verified", "detail": digest}
        assert await post(site, REPORT, **said) == status
    place.live(310)
    assert place.slots() == {**ready("node1", "node3"), OWN: slot}
    if status == 403:
        silent = f"said nothing for {PACE.up_s:g} s; a token of it was refused: token-other-machine"
        assert place.job().facts["first"] == {OWN: silent}


async def test_what_was_not_compared_is_told_in_the_job(place: Place) -> None:
    place.book()
    place.live(until="verify")
    digest = place.digest(place.job())
    async with place.boot_port() as site:
        note = "not compared: partclone has no way to read ntfs back"
        said = {"token": place.token(site, OWN), "state": "verified", "detail": digest, "note": note}
        assert await post(site, REPORT, **said) == 200
    place.live(10)
    assert (place.job().state, place.slots()[OWN], place.part(OWN).note) == ("done", "ready", note)
    assert place.part("node1").note == ""
