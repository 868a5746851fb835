"""``bootd serve`` with drivers that only pretend: what is booked is staged, begun and ended by itself."""

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest

from bootd.clock import utc_now
from tests.helpers.namespace import namespace
from tests.helpers.service import PATIENCE_S, Service

pytestmark = pytest.mark.root

FAKES = """
[calendar]
window_pause = 0
up_timeout = 10
[luns]
backend = "fake"
[imaging]
transport = "fake"
"""


ENDED = "calendar.job_ended"
LONGEST_S = 4 * PATIENCE_S  # machines that say nothing are switched twice, and waited for


@pytest.fixture(scope="module")
def space():
    with namespace() as made:
        yield made


@pytest.fixture
def service(space, tmp_path):
    return site_of_two(Service(space, tmp_path, FAKES), tmp_path)


def site_of_two(service, folder):
    """Give the service two root nodes with a LUN pair, a project and an image."""
    for number in (1, 2):
        facts = ["--role", "root", "--group", "rack", "--set", "power=fake"]
        service.bootd("hosts", "add", f"node{number}", "--mac", f"52:54:00:00:00:0{number}", *facts)
    (folder / "debian.raw").write_bytes(b"d" * 4096)
    service.bootd("projects", "add", "mesh", "--owner", "anna")
    service.bootd("images", "add", "mesh/debian", str(folder / "debian.raw"))
    service.bootd("luns", "add", "rack", "--size", "1M")
    return service


def until(condition, what):
    """Wait for *condition* to return something true, and return that."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen: {what}")


def book(service, *, seconds):
    """Book both nodes to begin in so many seconds."""
    start = utc_now() + timedelta(seconds=seconds)
    words = ["--nodes", "node[1-2]", "--image", "debian", "--start", f"{start:%Y-%m-%d %H:%M:%S}+00:00"]
    service.bootd("reservations", "add", "mesh", *words, "--end", "+1h")


def jobs(service, *words):
    return {job["kind"]: job for job in json.loads(service.bootd("jobs", "list", "--json", *words))}


def is_done(service, kind):
    return jobs(service, "--all").get(kind, {}).get("state") == "done"


def state(service):
    return json.loads(service.bootd("reservations", "show", "1", "--json"))["state"]


def test_booking_is_staged_begun_and_taken_back_by_itself(service):
    with service.serve():
        book(service, seconds=3)
        until(lambda: is_done(service, "stage-lun"), "the image on its LUN")
        until(lambda: state(service) == "active", "the booking has begun")
        shown = json.loads(service.bootd("status", "--json"))["lifecycle"]
        assert [row["reservation"] for row in shown["active"]] == [1]
        assert "place" in service.bootd("explain", "node1")
        service.bootd("reservations", "cancel", "1")
        until(lambda: "end" in jobs(service, "--all"), "the end of the booking")
        until(lambda: not jobs(service), "no job is open")
        assert service.get("/readyz")[0] == 200, service.get("/readyz")
    assert ENDED in service.log


def test_daemon_that_ends_and_comes_back_goes_on_where_it_was(service):
    with service.serve():
        book(service, seconds=2)
        until(lambda: "stage-lun" in jobs(service, "--all"), "work on the image")
    with service.serve():
        until(lambda: state(service) == "active", "the booking has begun")


def test_calendar_that_is_switched_off_leaves_everything_alone(service):
    service.config.write_text(service.config.read_text().replace("[calendar]", "[calendar]\nenabled = false"))
    with service.serve() as daemon:
        book(service, seconds=1)
        names = {path.read_text().strip() for path in _threads(daemon.pid)}
        assert not [name for name in names if name.startswith("calendar")]
    assert jobs(service, "--all") == {}


def _threads(pid):
    return Path(f"/proc/{pid}/task").glob("*/comm")


def test_two_daemons_on_one_database_do_each_job_once(service, tmp_path):
    (tmp_path / "second").mkdir()
    shared = f'[store]\nurl = "sqlite:///{service.data_dir}/bootd.db"\n'
    dark = f'[images]\ndark_store = "{service.data_dir}/dark"\n'
    with namespace() as elsewhere:
        second = Service(elsewhere, tmp_path / "second", FAKES + shared + dark)
        with service.serve(), second.serve():
            book(service, seconds=2)
            until(lambda: state(service) == "active", "the booking has begun")
            until(lambda: "2 starting" in jobs(service, "--all")["start"]["note"], "both nodes are switched")
            service.bootd("jobs", "cancel", str(jobs(service, "--all")["start"]["id"]))  # nobody will run
            until(lambda: not jobs(service), "no job is open")
            done = [job["kind"] for job in json.loads(service.bootd("jobs", "list", "--all", "--json"))]
        ended = [line for daemon in (service, second) for line in daemon.log.splitlines() if ENDED in line]
    assert sorted(done) == ["stage-lun", "start"]  # whichever was planned first
    assert len(ended) == 2, ended
    assert not [line for line in ended if "internal error" in line]
