"""Addresses that cannot be given or are used by others, as /readyz tells them."""

from bootd.addresses import AddressWatch
from bootd.boot.snapshot import Changes, Snapshot, apply_changes
from bootd.events import AddressDeclined, AddressGiven
from bootd.model import Host
from bootd.telemetry import Problems
from tests.helpers.leases import NEAR

MAC = "52:54:00:00:00:01"


def a_snapshot(*ips):
    hosts = [Host(f"node{n}", f"52:54:00:00:00:{n:02x}", ip=ip) for n, ip in enumerate(ips, 1)]
    return apply_changes(Snapshot(), Changes(1, hosts={host.name: host for host in hosts}))


def a_watch(subnets=None):
    problems = Problems(lambda event: None)
    subnets = {"lab": NEAR} if subnets is None else subnets
    return AddressWatch(subnets, ours=lambda: ["10.99.0.2"], problems=problems), problems


def declined(ip="10.99.0.11"):
    return AddressDeclined(mac=MAC, host="node1", address=ip)


def test_address_outside_every_subnet_is_a_problem_until_the_row_is_mended():
    watch, problems = a_watch()
    watch.check(a_snapshot("10.1.1.1", "10.99.0.12"))
    assert "node1: its address 10.1.1.1 is no machine's in lab" in problems.all()["addresses"]
    watch.check(a_snapshot("10.99.0.11", "10.99.0.12"))
    assert problems.all() == {}


def test_many_bad_rows_are_one_problem():
    watch, problems = a_watch()
    watch.check(a_snapshot(*[f"10.1.1.{n}" for n in range(1, 21)]))
    assert list(problems.all()) == ["addresses"]
    assert problems.all()["addresses"].endswith("; and 17 more")


def test_site_whose_addresses_are_anothers_has_no_such_problem():
    watch, problems = a_watch({})
    watch.check(a_snapshot("10.1.1.1"))
    assert problems.all() == {}


def test_declined_address_is_a_problem_until_its_host_has_renewed_it():
    watch, problems = a_watch()
    watch.take(declined())
    watch.take(AddressGiven(mac=MAC, host="node1", address="10.99.0.11", why="selecting"))
    assert "another machine at its address 10.99.0.11" in problems.all()["declined:node1"]
    watch.take(AddressGiven(mac=MAC, host="node1", address="10.99.0.11", why="renewing"))
    assert problems.all() == {}


def test_declined_address_is_none_of_a_host_that_has_another_now():
    watch, problems = a_watch()
    watch.take(declined())
    watch.check(a_snapshot("10.99.0.11"))
    assert problems.all()
    watch.check(a_snapshot("10.99.0.13"))
    assert problems.all() == {}
