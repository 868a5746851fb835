"""An imager still at work for a job that was cancelled: its word makes no slot of the next one good."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bootd.model import Reservation
from bootd.services import jobs, reports
from bootd.services.reports import Word
from tests.helpers.imaging import NODES, Shop, a_shop, ready

LATE = "node3"  # of the second job, its last window


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Slot 7 was being written when its job was cancelled; the same image is for slot 8 now."""
    made = a_shop(tmp_path, window=1)
    made.silent.update(NODES)
    made.book(slot=7)
    made.live(until="watch")
    made.live(20)
    jobs.cancel(made.store, "anna", 1, clock=made.clock)
    made.run()
    assert made.job(1).state == "cancelled"
    over = made.store.find(Reservation, 1)
    assert over is not None
    made.keep(replace(over, state="cancelled"))
    made.book(slot=8)
    made.live(3)
    assert ("cycle", LATE) not in made.switched()[len(NODES) :]
    return made


def say(shop: Shop, state: str, detail: str, job: int | None) -> None:
    given_at = shop.clock() - timedelta(minutes=5)
    with shop.store.transaction("bootd", "report") as change:
        reports.heard(change, Word(LATE, state, detail, shop.clock(), given_at, job=job))


@pytest.mark.parametrize("job", [1, None])
@pytest.mark.parametrize("state", ["verified", "failed"])
def test_word_for_the_job_before_leaves_the_node_to_be_called_and_written(
    shop: Shop, state: str, job: int | None
) -> None:
    say(shop, state, shop.digest(shop.job(2)) if state == "verified" else "no space left on device", job)
    assert shop.part(LATE, 2).word == ""
    shop.live(until="verify")
    assert [(part.node, part.step) for part in shop.store.job_parts(2) if part.node == LATE] == [
        (LATE, "received")
    ]
    assert shop.slots(8) == dict.fromkeys(NODES, "writing")
    shop.silent.clear()
    shop.live(20)
    assert (shop.job(2).state, shop.slots(8)) == ("done", ready(*NODES))


def test_word_for_its_own_job_counts(shop: Shop) -> None:
    shop.live(until="verify")
    say(shop, "verified", shop.digest(shop.job(2)), 2)
    shop.live(10)
    assert shop.slots(8) == {"node1": "writing", "node2": "writing", LATE: "ready"}
