"""Projects: registering them, who belongs to them, what they may book, and their end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bootd.clock import Clock
from bootd.errors import BadValue, NotFound, Refused
from bootd.formats import fields
from bootd.lifecycle import PROJECT
from bootd.model import Limits, Project, Reservation, check_name
from bootd.store import JournalEntry, Reads, Store, Transaction

Number = TypeVar("Number", int, float)
LIVE = ("booked", "active")  # reservations that still need their project


@dataclass(frozen=True, slots=True)
class ProjectEdit:
    """What to change; None leaves a field as it is. A limit of 0 lifts it."""

    owner: str | None = None
    mail: str | None = None
    add_members: tuple[str, ...] = ()
    remove_members: tuple[str, ...] = ()
    nodes: int | None = None
    hours: float | None = None
    bookings: int | None = None

    def apply(self, project: Project) -> Project:
        """Return *project* changed so; raises `BadValue` and `NotFound`."""
        for member in self.remove_members:
            if member not in project.members:
                raise NotFound("member", member, f"members of {project.name}: {', '.join(project.members)}")
        members = dict.fromkeys([*project.members, *map(_person, self.add_members)])
        return replace(
            project,
            owner=project.owner if self.owner is None else _person(self.owner),
            mail=project.mail if self.mail is None else _mail(self.mail),
            members=tuple(member for member in members if member not in self.remove_members),
            limits=Limits(
                nodes=_limit("--max-nodes", project.limits.nodes, self.nodes),
                hours=_limit("--max-hours", project.limits.hours, self.hours),
                bookings=_limit("--max-bookings", project.limits.bookings, self.bookings),
            ),
        )


def add(store: Store, actor: str, name: str, edit: ProjectEdit, *, clock: Clock) -> Project:
    """Register a project; raises `Refused` where the name was ever given, `BadValue`."""
    fresh = Project(check_name("project", name), edit.owner or actor, clock())
    with store.transaction(actor, "projects add") as change:
        held = change.find(Project, name)
        if held is not None:
            raise Refused(f"there is a project {name!r} already: {held.state}, owned by {held.owner}")
        project = edit.apply(fresh)
        change.keep(project)
    return project


def set_fields(store: Store, actor: str, name: str, edit: ProjectEdit) -> Project:
    """Change what *edit* names; raises `NotFound` and `BadValue`."""
    with store.transaction(actor, "projects set") as change:
        project = edit.apply(named(change, name))
        change.keep(project)
    return project


def move(store: Store, actor: str, name: str, event: str) -> Project:
    """Suspend, resume or retire a project.

    Raises `IllegalMove`, and `Refused` for the end of a project that still has bookings.
    """
    with store.transaction(actor, f"projects {event}") as change:
        project = named(change, name)
        moved = replace(project, state=PROJECT.after(project.state, event))
        if event == "retire":
            _check_no_bookings(change, name)
        change.keep(moved)
    return moved


def require(reads: Reads, name: str) -> Project:
    """Return the project that wants to book; raises `NotFound`, or `Refused` where it may not."""
    project = named(reads, name)
    if project.state != PROJECT.first:
        raise Refused(f"project {name!r} is {project.state}: {PROJECT.states[project.state]}")
    return project


def reservations_of(reads: Reads, name: str) -> list[Reservation]:
    """Return the bookings of a project that are to come or under way."""
    return reads.reservations_in(LIVE, project=name)


def history(reads: Reads, name: str, *, limit: int = 50) -> Sequence[JournalEntry]:
    """Return what was done to a project, oldest first: the path can be read back."""
    entries = reads.journal(limit=100_000, kinds=("project",))
    return [entry for entry in reversed(entries) if entry.key == name][-limit:]


def named(reads: Reads, name: str) -> Project:
    """Return the project; raises `NotFound` with a near miss."""
    project = reads.find(Project, name)
    if project is None:
        known = [each.name for each in reads.every(Project)]
        raise NotFound(
            "project",
            name,
            fields.nearest(name, known).removeprefix("; ") or "bootd projects list names them",
        )
    return project


def _check_no_bookings(change: Transaction, name: str) -> None:
    live = reservations_of(change, name)
    if live:
        numbers = ", ".join(str(reservation.id) for reservation in live)
        raise Refused(f"project {name!r} still has reservations {numbers}: cancel them first")


def _person(text: str) -> str:
    """Return the name of a person or account as it is kept."""
    folded = " ".join(text.split())
    if not folded or not folded.isprintable() or len(folded) > 80:
        raise BadValue("person", text, "a name of at most 80 characters")
    return folded


def _mail(text: str) -> str:
    local, at, domain = text.partition("@")
    if text and not (local and at and domain and text.isprintable() and " " not in text):
        raise BadValue("--mail", text, "an address such as anna@example.org, or '' for none")
    return text


def _limit(option: str, old: Number | None, new: Number | None) -> Number | None:
    if new is None:
        return old
    if new < 0:
        raise BadValue(option, str(new), "a number above 0, or 0 for no limit")
    return new or None
