"""``bootd luns`` as people type it."""

from dataclasses import replace

import pytest

from bootd.model import DeployedNode, ImageRef, Job, LunPair, Role
from bootd.services import luns
from tests.helpers.command import Bootd
from tests.helpers.deeds import a_deployment, a_project, a_reservation
from tests.helpers.site import NOON, a_host

OLD, NEW = ImageRef("mesh", "debian", 1), ImageRef("mesh", "debian", 2)


@pytest.fixture
def rack(bootd: Bootd) -> Bootd:
    """A pair with an image on each side, and a reservation of node1 and node2 that boots from side a."""
    bootd.good("luns", "add", "rack", "--size", "20G")
    with bootd.store() as store, store.transaction("calendar") as change:
        change.put_hosts([a_host(n, role=Role.ROOT, groups=("rack",)) for n in (1, 2, 3)])
        pair = luns.named(change, "rack")
        first = replace(pair.sides[0], image=NEW, digest="sha256:2", changed_at=NOON)
        second = replace(pair.sides[1], image=OLD, digest="sha256:1")
        change.keep(LunPair("rack", pair.size, (first, second)))
        deployment = a_deployment(
            role=Role.ROOT, image=NEW, digest="sha256:2", slot=None, group="rack", side=0, state="run"
        )
        change.keep(a_project())
        change.keep(a_reservation())
        change.keep(deployment)
        for node in deployment.nodes:
            clone = luns.new_clone(deployment, 0, node, "iqn.2026-01.org.example")
            change.keep(replace(clone, target=f"iqn.2026-01.t:{clone.volume}", portals=("10.0.0.1:3260",)))
            change.keep(DeployedNode(1, node, "running", volume=clone.volume))
    return bootd


def test_pair_is_added_listed_and_forgotten(bootd: Bootd) -> None:
    assert "bootd luns add GROUP --size 20G" in bootd.good("luns", "list").out
    added = bootd.good("luns", "add", "rack", "--size", "20G")
    assert added.out == "LUN pair rack: rack.a and rack.b, 20G each\n"
    assert "no host is in group rack yet" in added.err
    assert bootd.good("luns", "list").out.splitlines()[1].split() == [
        "rack",
        "20G",
        "a",
        "nothing",
        "empty",
        "0",
    ]
    assert "would forget" in bootd.good("luns", "remove", "rack", "--dry-run").out
    gone = bootd.good("luns", "remove", "rack").out
    assert "stay on the LUN backend, if they were made: rack.a, rack.b" in gone
    assert bootd.good("luns", "list", "--json").json == []


def test_json_of_a_pair_has_one_shape_everywhere(bootd: Bootd) -> None:
    added = bootd.good("luns", "add", "rack", "--size", "20G", "--json").json
    assert added["sides"]["a"] | {"changed_at": None} == {
        "volume": "rack.a",
        "state": "active",
        "image": None,
        "digest": None,
        "changed_at": None,
    }
    assert bootd.good("luns", "list", "--json").json == [added]
    assert added.items() <= bootd.good("luns", "show", "rack", "--json").json.items()


def test_show_has_sides_bookings_and_the_clone_of_each_node(
    rack: Bootd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    lines = rack.good("luns", "show", "rack").out.splitlines()
    assert lines[0] == "rack  2 × 20G  node[1-3]"
    assert lines[1] == "  a  rack.a  active  mesh/debian@2  since 2026-01-05 12:00 UTC"
    assert lines[2].startswith("  b  rack.b  inactive  mesh/debian@1")
    assert lines[3] == "  reservation 1: mesh/debian@2 run, side a, for node[1-2]"
    assert lines[5].split()[:4] == ["node1", "a", "rack.a.node1.1", "running"]
    shown = rack.good("luns", "show", "rack", "--json").json
    assert [clone["initiator"] for clone in shown["clones"]] == [
        f"iqn.2026-01.org.example:node{n}" for n in (1, 2)
    ]
    assert "secret" not in str(shown)


def test_flip_says_whose_nodes_boot_what_first_dry_then_for_good(rack: Bootd) -> None:
    dry = rack.good("luns", "flip", "rack", "--dry-run").out
    assert "side b would be active, with mesh/debian@1; mesh/debian@2 before" in dry
    assert "node[1-2]: would boot mesh/debian@1, not mesh/debian@2" in dry
    assert "node[1-2]: their clones would be made first" in dry
    with rack.store() as store:
        assert luns.named(store, "rack").active == 0
        assert store.every(Job) == []
    done = rack.good("luns", "rollback", "rack").out
    assert "started anew (reservation 1 of mesh)" in done
    assert "next: bootd jobs follow 1" in done
    with rack.store() as store:
        assert luns.named(store, "rack").active == 1


def test_json_of_a_flip_names_nodes_and_jobs(rack: Bootd) -> None:
    found = rack.good("luns", "flip", "rack", "--json").json
    assert (found["active"], found["jobs"], found["dry_run"]) == ("b", [1], False)
    assert found["nodes"][0] == {
        "node": "node1",
        "reservation": 1,
        "before": "mesh/debian@2",
        "after": "mesh/debian@1",
        "has_clone": False,
    }


def test_renewing_says_what_is_lost_first_dry_then_for_good(rack: Bootd) -> None:
    dry = rack.good("luns", "renew", "rack", "node[1-2]", "--dry-run").out
    assert dry == "node[1-2]: would lose what was written, get new clones\n"
    done = rack.good("luns", "renew", "rack", "node1", "--json").json
    assert (done["nodes"], done["dry_run"]) == (["node1"], False)
    with rack.store() as store:
        (job,) = store.jobs()
    assert (done["jobs"], job.nodes) == ([job.id], ("node1",))
    assert "is at work" in rack("luns", "renew", "rack", "node2").err
    assert "node3 boots nothing from the LUN pair of rack now" in rack("luns", "renew", "rack", "node3").err


def test_refusals_are_one_sentence_and_status_1(rack: Bootd) -> None:
    rack.good("luns", "add", "lab", "--size", "1G")
    for words, why in (
        (("add", "rack", "--size", "1G"), "has a LUN pair already"),
        (("add", "new", "--size", "1"), "a size such as 20G"),
        (("show", "rakc"), "did you mean rack?"),
        (("remove", "rack"), "needed by reservations 1"),
        (("flip", "lab"), "holds nothing"),
        (("rollback", "lab"), "holds nothing"),
    ):
        ended = rack("luns", *words)
        assert (ended.status, ended.out) == (1, "")
        assert ended.err.startswith("bootd: ")
        assert why in ended.err
        assert ended.err.count("\n") == 1
