"""A story of root nodes: when a chapter has come to its end, what is shown of it, and its table."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bootd.cli.demo_lun import next_with_luns, tell_clones, tell_times
from bootd.clock import utc_now
from bootd.lab import Lab, NodeSpec, servers
from bootd.lab.chain import REPORTED
from bootd.lab.demo import store_opener
from bootd.lab.lundemo import Chapter, Told
from bootd.lab.roots import Clone
from bootd.lab.story import Line, Watch, runs, staged
from bootd.model import ImageRef, Observation, Role
from bootd.store import Store
from tests.helpers.deeds import IMAGE, a_deployment, a_job, a_node, a_pair, a_project, a_reservation, keep
from tests.helpers.site import NOON, a_host, memory_store

NEXT = ImageRef("mesh", "debian", 2)


def root_deployment(**fields: object) -> object:
    return a_deployment(role=Role.ROOT, slot=None, group="roots", side=0, state="lun-ready", **fields)


@pytest.fixture
def store() -> Store:
    made = memory_store()
    keep(made, a_project(), a_reservation(), root_deployment())
    return made


def test_a_chapter_ends_when_every_node_says_that_it_runs_the_image(store: Store) -> None:
    is_so = runs(1, str(IMAGE))
    keep(store, a_node("node1", state="running"))
    assert not is_so(store)
    keep(store, a_node("node2", state="ready"))
    assert not is_so(store)
    keep(store, a_node("node2", state="running"))
    assert is_so(store)
    assert not runs(1, str(NEXT))(store)


def test_a_chapter_does_not_end_while_a_job_is_at_work(store: Store) -> None:
    keep(store, a_node("node1", state="running"), a_node("node2", state="running"))
    keep(store, a_job(kind="start"))
    assert not runs(1, str(IMAGE))(store)
    keep(store, a_job(kind="start", state="done"))
    assert runs(1, str(IMAGE))(store)


def test_the_next_image_is_staged_when_it_is_ready_on_the_side_that_is_inactive(store: Store) -> None:
    pair, is_so = a_pair(), staged("roots", str(NEXT))
    for state, image, expected in [
        ("staging", None, False),
        ("staged", IMAGE, False),
        ("staged", NEXT, True),
    ]:
        other = replace(pair.sides[1], state=state, image=image)
        keep(store, replace(pair, sides=(pair.sides[0], other)))
        assert is_so(store) == expected
    keep(store, a_job(kind="stage-lun"))
    assert not is_so(store)  # clones are being made


# -- what is shown -----------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab whose machine is written down and whose store is there; nothing runs."""
    made = Lab("story", root=tmp_path)
    made.data_dir.mkdir(parents=True)
    made.config.write_text(servers.bootd_config(made.run.path))
    with made.run.change() as state:
        state.nodes = {}
    return made


def test_each_turn_is_shown_once_and_in_the_order_of_time(lab: Lab) -> None:
    shown: list[Line] = []
    with store_opener(lab)() as store, store.transaction("anna", "hosts") as change:
        change.put_hosts([a_host(1)])
    watch = Watch(lab, ["node1"], shown.append)
    console = lab.places("node1").console_log
    console.write_text("noise\nx BOOTD-READY node=node1\n")
    with store_opener(lab)() as store:
        keep(store, a_project(), a_reservation(), a_job(note="first"))
        said = Observation(utc_now(), "52:54:00:00:00:01", "node1", REPORTED, "reported running")
        with store.transaction("bootd", "seen") as change:
            change.add_observations([said])
    assert watch.until(lambda store: True, 0)
    assert {line.text for line in shown} == {
        "job 1, write-slot: waiting, first", "console: BOOTD-READY node=node1", "reported running",
    }  # fmt: skip
    assert [line.at for line in shown] == sorted(line.at for line in shown)
    shown.clear()
    assert not watch.until(lambda store: False, 0)
    assert shown == []
    assert watch.reported("node1", said.at) == said.at
    assert watch.reported("node1", said.at + timedelta(seconds=1)) is None


def test_the_table_has_a_dash_where_a_machine_never_arrived(capsys: pytest.CaptureFixture[str]) -> None:
    after: Callable[[float], object] = lambda seconds: NOON + timedelta(seconds=seconds)  # noqa: E731
    chapters = [
        Chapter("booked", "demo/root@1", NOON, {"bios1": after(30.04), "uefi1": after(41)}),  # type: ignore[dict-item]
        Chapter("flipped", "demo/root@2", NOON, {"bios1": after(20), "uefi1": None}),  # type: ignore[dict-item]
    ]
    tell_times(Told(NOON, chapters, staging_s=1.26))
    said = capsys.readouterr().out
    rows = {line.split()[1]: line for line in said.splitlines() if line.startswith("│")}
    assert ("30.0 s" in rows["bios1"], "20.0 s" in rows["bios1"]) == (True, True)
    assert rows["uefi1"].split("│")[3].strip() == "-"
    assert "staged in 1.3 s, while the nodes ran" in said


def test_clones_are_told_with_who_is_logged_in(capsys: pytest.CaptureFixture[str]) -> None:
    clones = [
        Clone("n1", "b", "roots.b.n1.1", ("iqn.x:n1 10.0.0.9",) * 2, 4096),
        Clone("n1", "a", "v", (), None),
    ]
    tell_clones(Told(NOON, clones=clones))
    said = capsys.readouterr().out.splitlines()
    (used,) = [line.split() for line in said if "roots.b.n1.1" in line]
    assert used[3:7] == ["iqn.x:n1", "10.0.0.9", "(2", "sessions)"]
    assert any("nobody" in line and "not known" in line for line in said)
    tell_clones(Told(NOON))
    assert capsys.readouterr().out == ""


def test_what_to_type_next_names_the_machines_and_the_lab(lab: Lab) -> None:
    text = next_with_luns(lab, [NodeSpec("n1").name, "n2"])
    assert "--nodes n1,n2 --start now" in text
    assert f"export BOOTD_CONFIG={lab.config}" in text
    assert "lab down --name story" in text
