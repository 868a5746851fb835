"""The snapshot feed: a commit by another connection reaches the answers, with a poke and without."""

import queue
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bootd.boot.snapshot import Policy
from bootd.model import Host, JobKind
from bootd.services import jobs
from bootd.services.feed import SnapshotFeed, open_poke_socket
from bootd.store import open_store

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def site(tmp_path):
    def store():
        return open_store(f"sqlite:///{tmp_path}/bootd.db", clock=lambda: NOON)

    published, troubles = queue.Queue(), queue.Queue()
    poked = open_poke_socket(tmp_path / "poke.sock")
    feed = SnapshotFeed(
        store,
        Policy(),
        poked=poked,
        publish=lambda snapshot, _: published.put(snapshot),
        trouble=troubles.put,
    )
    feed.start()
    yield store, published, tmp_path, troubles
    feed.stop()
    poked.close()


def add(store, name, mac):
    with store() as opened, opened.transaction("tester") as transaction:
        transaction.put_host(Host(name, mac))


def poke(folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", str(folder / "poke.sock"))


def test_poked_commit_is_published(site):
    store, published, folder, _ = site
    add(store, "node1", "52:54:00:00:00:01")
    poke(folder)
    assert set(published.get(timeout=30).hosts_by_mac) == {"52:54:00:00:00:01"}


def test_commit_without_a_poke_is_found_anyway(site):
    store, published, _, _ = site
    add(store, "node1", "52:54:00:00:00:01")
    assert set(published.get(timeout=30).hosts) == {"node1"}


def test_each_snapshot_builds_on_the_one_before(site):
    store, published, folder, _ = site
    for number in range(1, 4):
        add(store, f"node{number}", f"52:54:00:00:00:0{number}")
        poke(folder)
    while len((snapshot := published.get(timeout=30)).hosts) < 3:
        pass
    assert set(snapshot.hosts) == {"node1", "node2", "node3"}


def test_whoever_waits_for_a_job_is_woken_by_what_no_answer_depends_on(tmp_path):
    def store():
        return open_store(f"sqlite:///{tmp_path}/bootd.db", clock=lambda: NOON)

    published, looked = queue.Queue(), queue.Queue()
    with store() as opened, opened.transaction("tester") as change:
        job = jobs.add(change, JobKind.START, by="tester", now=NOON)
    with open_poke_socket(tmp_path / "poke.sock") as poked:
        feed = SnapshotFeed(
            store,
            Policy(),
            poked=poked,
            publish=lambda snapshot, _: published.put(snapshot),
            trouble=lambda text: None,
            looked=lambda: looked.put(True),
        )
        feed.start()
        assert looked.get(timeout=30)  # at its start
        with store() as opened, opened.transaction("tester") as change:
            change.keep(replace(job, due_at=NOON + timedelta(hours=1)))
        poke(tmp_path)
        assert looked.get(timeout=30)
        assert published.empty()
        feed.stop()


def test_leftover_socket_of_a_killed_daemon_is_replaced(tmp_path):
    open_poke_socket(tmp_path / "poke.sock").close()
    open_poke_socket(tmp_path / "poke.sock").close()


def test_socket_whose_file_is_gone_stops_neither_the_waking_nor_the_end(tmp_path):
    with open_poke_socket(tmp_path / "poke.sock") as poked:
        feed = SnapshotFeed(
            lambda: open_store(f"sqlite:///{tmp_path}/bootd.db", clock=lambda: NOON),
            Policy(),
            poked=poked,
            publish=lambda snapshot, _: None,
            trouble=lambda text: None,
        )
        feed.start()
        (tmp_path / "poke.sock").unlink()
        feed.wake()
        feed.stop()
