"""What a machine fetches while it is called into the imager, and once that is over: nobody tidies up."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bootd.drivers.transport.course import Fate
from bootd.model import Assignment, Override, Target, TargetKind
from tests.helpers.imagingport import Place, a_place
from tests.helpers.site import NOON, an_image
from tests.helpers.web import ask

CALLED, DEFAULT = "memory/imager/", "memory/hello/"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """node1 boots the image hello by default, and does not come when it is called."""
    made = a_place(tmp_path)
    made.asleep.add("node1")
    made.transport.fates["node1"] = Fate(joins_after_s=None)
    with made.store.transaction("anna", "furnish") as change:
        change.put_memory_image(an_image("hello"))
        change.put_assignment(Assignment("node1", Target(TargetKind.MEMORY, "hello"), NOON))
    made.book(("node1",))
    made.run()
    return made


async def fetched(place: Place) -> str:
    """Return the folder of what node1 is told to boot now."""
    async with place.boot_port() as site:
        reply = await ask(site.port, f"/boot/{place.mac('node1').replace(':', '')}.ipxe")
    assert reply.status == 200
    [folder] = {each for each in (CALLED, DEFAULT) if f"/files/{each}" in reply.body.decode()}
    return folder


def order_of(place: Place) -> Override:
    [order] = place.store.overrides()
    return order


def go_to(place: Place, moment: datetime) -> None:
    place.clock.move(seconds=(moment - place.clock()).total_seconds())


async def test_machine_that_comes_in_time_is_given_the_imager_and_later_its_default(place: Place) -> None:
    assert await fetched(place) == CALLED
    expires_at = order_of(place).expires_at
    go_to(place, expires_at - timedelta(seconds=1))
    assert await fetched(place) == CALLED
    go_to(place, expires_at)
    assert await fetched(place) == DEFAULT
    assert order_of(place).expires_at == expires_at  # nobody took it back


async def test_machine_that_comes_after_its_job_gave_up_is_given_its_default(place: Place) -> None:
    place.live(1500)
    assert (place.job().state, place.store.overrides()) == ("failed", [])
    assert await fetched(place) == DEFAULT


async def test_order_that_expired_unused_is_in_nobody_s_way(place: Place) -> None:
    """The worker was dead for all of that time; then another one calls the machine, and it comes."""
    go_to(place, order_of(place).expires_at + timedelta(hours=1))
    assert await fetched(place) == DEFAULT
    place.asleep.clear()
    place.transport.fates.clear()
    place.live(600)
    assert (place.job().state, place.slots()) == ("done", {"node1": "ready"})
    assert place.store.overrides() == []
    assert await fetched(place) == DEFAULT
