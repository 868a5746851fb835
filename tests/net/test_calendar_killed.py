"""``bootd serve`` killed again and again while a booking is staged, begins and ends: the next one goes on."""

import json
import time
from subprocess import Popen

import pytest

from tests.helpers.namespace import namespace
from tests.helpers.service import PATIENCE_S, Service
from tests.net.test_calendar_daemon import FAKES, book, jobs, site_of_two, state, until

pytestmark = pytest.mark.root

LIVES_S = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2)  # how long each daemon lives once it serves


def serve_and_kill(service: Service, seconds: float) -> None:
    """Run a daemon for so long, and end it as a power cut would."""
    argv = service.space.command(*service.argv("serve"))
    with (service.data_dir.parent / "log").open("ab") as log, Popen(argv, stdout=log) as daemon:
        try:
            service.wait_until_ready(daemon)
            time.sleep(seconds)
        finally:
            daemon.kill()
            daemon.wait(PATIENCE_S)


def test_booking_comes_to_its_end_however_often_the_daemon_is_killed(tmp_path):
    with namespace() as space:
        service = site_of_two(Service(space, tmp_path, FAKES), tmp_path)
        book(service, seconds=4)
        for seconds in LIVES_S:
            serve_and_kill(service, seconds)
        with service.serve():
            until(lambda: state(service) == "active", "the booking has begun")
            service.bootd("reservations", "cancel", "1")
            until(lambda: "end" in jobs(service, "--all"), "the end of the booking")
            until(lambda: not jobs(service), "no job is open")
            shown = json.loads(service.bootd("luns", "show", "rack", "--json"))
        assert state(service) == "cancelled"
        assert jobs(service, "--all")["stage-lun"]["state"] == "done"
        done = json.loads(service.bootd("jobs", "list", "--all", "--json"))
        assert sorted(job["kind"] for job in done) == ["end", "stage-lun", "start"], done  # each once
        assert shown["clones"] == []
        assert "internal error" not in service.log
