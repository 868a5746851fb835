"""Projects: registered once, changed with care, closed only when nothing hangs on them."""

from datetime import timedelta

import pytest

from bootd.errors import BadValue, NotFound, Refused
from bootd.lifecycle import IllegalMove
from bootd.model import Limits, Project, Reservation
from bootd.services import projects
from bootd.services.projects import ProjectEdit
from bootd.store import Store
from tests.helpers.site import NOON, HandClock, memory_store


@pytest.fixture
def store() -> Store:
    return memory_store()


def add(store: Store, name: str = "centmesh", **fields: object) -> Project:
    return projects.add(store, "anna", name, ProjectEdit(**fields), clock=HandClock())  # type: ignore[arg-type]


def book(store: Store, state: str = "booked") -> None:
    with store.transaction("anna") as change:
        span = (NOON, NOON + timedelta(hours=1))
        change.keep(Reservation(1, "centmesh", *span, ("node1",), (), NOON, "anna", state=state))


def test_whoever_registers_a_project_owns_it_unless_told_otherwise(store: Store) -> None:
    assert add(store).owner == "anna"
    assert add(store, "orbit", owner="Bob  Stone").owner == "Bob Stone"
    assert store.find(Project, "centmesh") == Project("centmesh", "anna", NOON)


def test_name_is_given_once_even_after_the_project_is_retired(store: Store) -> None:
    add(store)
    projects.move(store, "anna", "centmesh", "retire")
    with pytest.raises(Refused, match="'centmesh' already: retired, owned by anna"):
        add(store)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "x" * 65])
def test_name_must_fit_a_folder_of_the_dark_store(store: Store, name: str) -> None:
    with pytest.raises(BadValue):
        add(store, name)


def test_members_come_once_and_go_by_name(store: Store) -> None:
    add(store, add_members=("bob", "eve", "bob"))
    changed = projects.set_fields(
        store, "anna", "centmesh", ProjectEdit(add_members=("tom",), remove_members=("eve",))
    )
    assert changed.members == ("bob", "tom")
    with pytest.raises(NotFound, match="no member 'eve'; members of centmesh: bob, tom"):
        projects.set_fields(store, "anna", "centmesh", ProjectEdit(remove_members=("eve",)))


def test_limits_are_set_kept_and_lifted(store: Store) -> None:
    add(store, nodes=10, hours=8.5)
    changed = projects.set_fields(store, "anna", "centmesh", ProjectEdit(nodes=0, bookings=3))
    assert changed.limits == Limits(nodes=None, hours=8.5, bookings=3)
    with pytest.raises(BadValue, match="--max-nodes"):
        projects.set_fields(store, "anna", "centmesh", ProjectEdit(nodes=-1))


@pytest.mark.parametrize("mail", ["anna", "@x", "a b@c", "anna@"])
def test_mail_that_is_none_is_refused(store: Store, mail: str) -> None:
    with pytest.raises(BadValue, match="--mail"):
        add(store, mail=mail)


def test_suspended_project_may_not_book_until_it_is_resumed(store: Store) -> None:
    add(store)
    projects.move(store, "bob", "centmesh", "suspend")
    with pytest.raises(Refused, match="is suspended: keeps its images, may not book"):
        projects.require(store, "centmesh")
    projects.move(store, "bob", "centmesh", "resume")
    assert projects.require(store, "centmesh").name == "centmesh"


def test_move_that_makes_no_sense_is_refused_with_those_that_do(store: Store) -> None:
    add(store)
    with pytest.raises(IllegalMove, match="now only: suspend, retire"):
        projects.move(store, "anna", "centmesh", "resume")


def test_project_with_bookings_ahead_is_not_retired(store: Store) -> None:
    add(store)
    book(store)
    with pytest.raises(Refused, match="still has reservations 1"):
        projects.move(store, "anna", "centmesh", "retire")
    book(store, state="ended")
    assert projects.move(store, "anna", "centmesh", "retire").state == "retired"


def test_unknown_project_is_answered_with_the_nearest(store: Store) -> None:
    add(store)
    with pytest.raises(NotFound, match=r"no project 'centmes'; did you mean centmesh\?"):
        projects.require(store, "centmes")
    with pytest.raises(NotFound, match="bootd projects list"):
        projects.require(store, "zzz")


def test_path_of_a_project_can_be_read_back_with_who_did_it(store: Store) -> None:
    add(store)
    projects.move(store, "bob", "centmesh", "suspend")
    assert [(e.what, e.actor) for e in projects.history(store, "centmesh")] == [
        ("projects add", "anna"),
        ("projects suspend", "bob"),
    ]
