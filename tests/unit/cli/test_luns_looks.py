"""``bootd luns show`` and ``gc``: what the target tells, and clones that nobody needs."""

from dataclasses import replace

import pytest

from bootd.drivers.lun import Session
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.lun.shelf import Record
from bootd.drivers.tools import Tools
from bootd.model import DeployedNode, LunClone, Role
from bootd.services import lunneeds, luns
from tests.helpers.command import Bootd
from tests.helpers.deeds import a_deployment, a_project, a_reservation
from tests.helpers.site import NOON, a_host

SIZE = 1 << 20
BASE = "iqn.2026-01.org.example"


@pytest.fixture
def rack(bootd: Bootd) -> Bootd:
    """A pair whose nodes run from their clones on a backend that pretends."""
    bootd.config.write_text(bootd.config.read_text() + '[luns]\nbackend = "fake"\n')
    bootd.good("luns", "add", "rack", "--size", "1M")
    backend = the_backend(bootd)
    backend.create("rack.a", SIZE)
    with bootd.store() as store, store.transaction("calendar") as change:
        change.put_hosts([a_host(n, role=Role.ROOT, groups=("rack",)) for n in (1, 2)])
        deployment = a_deployment(role=Role.ROOT, slot=None, group="rack", side=0, state="run")
        for record in (a_project(), a_reservation(), deployment):
            change.keep(record)
        secret = change.make_secret(luns.SECRET)
        for node in deployment.nodes:
            clone = luns.new_clone(deployment, 0, node, BASE)
            backend.clone("rack.a", clone.volume)
            export = backend.export(clone.volume, clone.initiator, luns.chap_of(secret, clone.volume))
            luns.keep_clone(change, clone, export)
            change.keep(DeployedNode(1, node, "running", volume=clone.volume))
    return bootd


def the_backend(bootd: Bootd) -> FakeLuns:
    return FakeLuns(Tools(bootd.data / "drivers" / "luns"))


def log_in(rack: Bootd, node: str) -> LunClone:
    with rack.store() as store:
        clone = store.find(LunClone, f"rack.a.{node}.1")
        secret = store.secret(luns.SECRET)
    assert clone is not None
    assert secret is not None
    chap = luns.chap_of(secret, clone.volume)
    the_backend(rack).log_in(clone.volume, clone.initiator, chap, "10.0.0.1")
    return clone


def end(rack: Bootd) -> None:
    with rack.store() as store, store.transaction("calendar") as change:
        change.keep(a_deployment(role=Role.ROOT, slot=None, group="rack", side=0, state="dark"))


# -- show


def test_show_tells_who_is_logged_in_and_how_much_was_written(rack: Bootd) -> None:
    clone = log_in(rack, "node1")
    the_backend(rack).play_write(clone.volume, b"x" * 2048)
    table = rack.good("luns", "show", "rack").out.splitlines()[4:7]
    assert [line.split()[:6] for line in table] == [
        ["NODE", "SIDE", "CLONE", "STATE", "SESSION", "WRITTEN"],
        ["node1", "a", "rack.a.node1.1", "running", "10.0.0.1", "2.0"],
        ["node2", "a", "rack.a.node2.1", "running", "none", "0"],
    ]
    clones = rack.good("luns", "show", "rack", "--json").json["clones"]
    assert [(each["sessions"], each["written"]) for each in clones] == [
        ([{"initiator": f"{BASE}:node1", "address": "10.0.0.1", "is_left": False}], 2048),
        ([], 0),
    ]


def test_what_is_not_told_is_counted_when_asked_to(rack: Bootd, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(luns: FakeLuns, record: Record, compare: bool) -> int | None:
        return 4096 if compare else None

    monkeypatch.setattr(FakeLuns, "_written", written)
    for options, known in (((), None), (("--count",), 4096)):
        clones = rack.good("luns", "show", "rack", "--json", *options).json["clones"]
        assert [each["written"] for each in clones] == [known, known]


def test_sessions_that_a_reset_machine_left_are_counted_apart(
    rack: Bootd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sessions(luns: FakeLuns, name: str | None) -> list[Session]:
        session = Session("rack.a.node1.1", f"{BASE}:node1", "10.0.0.1")
        return [session, replace(session, is_left=True), replace(session, is_left=True)]

    monkeypatch.setattr(FakeLuns, "_sessions", sessions)
    assert "running  10.0.0.1 +2 left  0 B" in rack.good("luns", "show", "rack").out
    end(rack)
    left = rack.good("luns", "gc", "--dry-run").out
    assert f"{BASE}:node1 (10.0.0.1), {BASE}:node1 (10.0.0.1, left by a reset): bootd luns gc --force" in left


def test_times_are_those_of_this_machines_clocks(rack: Bootd, monkeypatch: pytest.MonkeyPatch) -> None:
    with rack.store() as store, store.transaction("anna") as change:
        pair = luns.named(change, "rack")
        side = replace(pair.sides[0], changed_at=NOON)
        change.keep(replace(pair, sides=(side, pair.sides[1])))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert f"since {NOON:%Y-%m-%d} 21:00 Asia/Tokyo\n" in rack.good("luns", "show", "rack").out


def test_node_that_says_it_runs_and_is_not_logged_in_is_in_doubt(rack: Bootd) -> None:
    log_in(rack, "node1")
    said = rack.good("luns", "show", "rack").out
    why = "node2 says that it runs, and is not logged in to its clone rack.a.node2.1"
    assert f"in doubt: {why}\n" in said
    assert "in doubt: node1" not in said
    assert rack.good("luns", "show", "rack", "--json").json["doubts"] == {"node2": why}


def test_node_that_runs_from_another_clone_than_its_own_is_named_with_that(rack: Bootd) -> None:
    clone = log_in(rack, "node1")
    with rack.store() as store, store.transaction("calendar") as change:
        change.keep(replace(clone, volume="rack.b.node1.1", side=1))
        change.keep(DeployedNode(1, "node1", "running", volume="rack.b.node1.1"))
    doubts = rack.good("luns", "show", "rack", "--json").json["doubts"]
    assert doubts["node1"].endswith("its clone rack.b.node1.1 but to rack.a.node1.1")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        pytest.param('[luns]\nbackend = ""\n', "this site has none: luns.backend is empty", id="none"),
        pytest.param('[luns]\nbackend = "tgt"\n', "tgtd does not answer at /nowhere/socket.0", id="away"),
    ],
)
def test_what_is_not_known_is_said_and_is_no_doubt(
    rack: Bootd, config: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TGT_IPC_SOCKET", "/nowhere/socket")
    rack.config.write_text(rack.config.read_text().replace('[luns]\nbackend = "fake"\n', config))
    shown = rack.good("luns", "show", "rack")
    assert f"sessions and what was written are not known: {why}" in shown.err
    assert "in doubt" not in shown.out
    assert shown.out.splitlines()[5].split()[:6] == ["node1", "a", "rack.a.node1.1", "running", "?", "?"]
    found = rack.good("luns", "show", "rack", "--json").json
    assert (found["doubts"], found["clones"][0]["sessions"]) == ({}, None)
    assert why in found["not_known"]


def test_looking_makes_nothing(bootd: Bootd) -> None:
    bootd.config.write_text(bootd.config.read_text() + '[luns]\nbackend = "fake"\n')
    bootd.good("luns", "add", "rack", "--size", "1M")
    with bootd.store() as store, store.transaction("calendar") as change:
        change.keep(luns.new_clone(a_deployment(group="rack"), 0, "node1", BASE))
    assert "no volume was ever made" in bootd.good("luns", "show", "rack").err
    assert "no clone that nobody needs" in bootd.good("luns", "gc").out
    assert not (bootd.data / "drivers").exists()


# -- gc


def test_what_nobody_needs_goes_first_dry_then_for_good(rack: Bootd) -> None:
    assert rack.good("luns", "gc").out == "there is no clone that nobody needs\n"
    end(rack)
    dry = rack.good("luns", "gc", "--dry-run").out
    assert dry.splitlines() == ["would delete rack.a.node1.1", "would delete rack.a.node2.1"]
    assert len(the_backend(rack).volumes()) == 3
    done = rack.good("luns", "gc", "rack").out
    assert done == dry.replace("would delete", "deleted")
    assert [volume.name for volume in the_backend(rack).volumes()] == ["rack.a"]
    with rack.store() as store:
        assert store.every(LunClone) == []


def test_what_a_machine_is_logged_in_to_goes_by_force_alone(rack: Bootd) -> None:
    log_in(rack, "node1")
    end(rack)
    found = rack.good("luns", "gc", "--json").json
    assert (found["removed"], found["dry_run"]) == (["rack.a.node2.1"], False)
    session = {"initiator": f"{BASE}:node1", "address": "10.0.0.1", "is_left": False}
    assert [(each["volume"], each["sessions"]) for each in found["left"]] == [("rack.a.node1.1", [session])]
    why = f"in use by {BASE}:node1 (10.0.0.1): bootd luns gc --force ends that"
    assert rack.good("luns", "gc").out == f"left rack.a.node1.1: {why}\n"
    assert rack.good("luns", "gc", "--force").out == "deleted rack.a.node1.1\n"


def test_clone_that_no_record_knows_goes_by_hand(rack: Bootd) -> None:
    the_backend(rack).clone("rack.a", "rack.a.node9.77")
    assert rack.good("luns", "gc", "other").out == "there is no clone that nobody needs\n"
    assert rack.good("luns", "gc").out == "deleted rack.a.node9.77\n"


def test_site_without_luns_says_so(bootd: Bootd) -> None:
    ended = bootd("luns", "gc")
    assert (ended.status, ended.out) == (1, "")
    assert "luns.backend is empty" in ended.err


def test_clone_that_was_replaced_and_is_in_use_still_is_told_apart(rack: Bootd) -> None:
    old = log_in(rack, "node1")
    with rack.store() as store, store.transaction("calendar") as change:
        change.keep(replace(old, digest="sha256:1", made_at=NOON))
        new = replace(old, volume="rack.a.node1.1-2", digest="sha256:1", made_at=NOON)
        change.keep(new)
        lunneeds.give_up_clones(change, new, NOON)
        change.keep(DeployedNode(1, "node1", "running", volume=new.volume))
    shown = rack.good("luns", "show", "rack").out.splitlines()
    told = {line.split()[2]: line.split()[3] for line in shown if line.startswith("node")}
    assert told == {"rack.a.node1.1": "replaced", new.volume: "running", "rack.a.node2.1": "running"}
    assert rack.good("luns", "gc", "--force").out == "deleted rack.a.node1.1\n"
