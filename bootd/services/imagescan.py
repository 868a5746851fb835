"""What the dark store holds against what is registered: new, found again, changed, missing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootd.clock import Clock
from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.tree import DiskFolder, Place, Tree
from bootd.lifecycle import DISK_IMAGE
from bootd.model import DiskImage, ImagePart, Project
from bootd.services.images import Verdict, moved_by
from bootd.store import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """One place of the dark store, or one image that has none; *after* is the record to keep."""

    folder: str
    what: str  # registered, new, found, changed, damaged, missing, refused, retired, no-project, no-image
    notes: tuple[str, ...] = ()
    before: DiskImage | None = None
    after: DiskImage | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found; *away* says why it could not look."""

    findings: tuple[Finding, ...]
    away: str = ""

    @property
    def refused(self) -> list[Finding]:
        return [
            each for each in self.findings if each.what in ("refused", "damaged", "no-project", "no-image")
        ]


def scan(store: Store, actor: str, tree: Tree, *, clock: Clock, dry_run: bool = False) -> Scan:
    """Compare the tree with the records, and keep what is new or moved unless *dry_run*.

    Files are looked at, not read through: digests are for `verify`. A tree that is away
    makes its images unavailable, never lost.
    """
    known = store.every(DiskImage)
    projects = {project.name: project for project in store.every(Project)}
    live = [image for image in known if image.state != "retired"]
    try:
        tree.check(expected=len(live))
        walk = tree.walk()
        by_ref = {image.ref: image for image in known}
        findings = [_place(tree, place, by_ref.get(place.ref), projects, clock) for place in walk.places]
        findings += [Finding(problem.partition(":")[0], "no-image", (problem,)) for problem in walk.problems]
        there = {place.ref for place in walk.places}
        findings += [_missing(image, clock) for image in live if image.ref not in there]
        result = Scan(tuple(findings))
    except DarkStoreAway as error:
        result = Scan(tuple(_missing(image, clock) for image in live), str(error))
    if not dry_run:
        _keep(store, actor, result.findings)
    return result


def _keep(store: Store, actor: str, findings: Sequence[Finding]) -> None:
    moved = [each for each in findings if each.after is not None and each.after != each.before]
    if not moved:
        return
    with store.transaction(actor, "images scan") as change:
        for each in moved:
            assert each.after is not None
            if change.find(DiskImage, str(each.after.ref)) == each.before:  # else somebody was quicker
                change.keep(each.after)


def _place(
    tree: Tree, place: Place, known: DiskImage | None, projects: dict[str, Project], clock: Clock
) -> Finding:
    try:
        if known is None:
            return _new(tree, place, projects, clock)
        if known.state == "retired":
            return Finding(place.folder, "retired", before=known)
        return _known(tree, replace(known, folder=place.folder), known, clock)
    except BadImage as error:
        notes = tuple(mistake.message for mistake in error.mistakes)
        if known is None:
            return Finding(place.folder, "refused", notes)
        return _damaged(known, notes, clock)
    except FileNotFoundError:
        return Finding(place.folder, "refused", ("it went away while it was looked at",))


def _new(tree: Tree, place: Place, projects: dict[str, Project], clock: Clock) -> Finding:
    project = projects.get(place.ref.project)
    if project is None or project.state == "retired":
        why = "is retired" if project else f"is not registered: bootd projects add {place.ref.project}"
        return Finding(place.folder, "no-project", (f"project {place.ref.project!r} {why}",))
    found = tree.inspect(place.folder)
    assert place.ref.version is not None
    image = DiskImage(
        project=place.ref.project,
        name=place.ref.name,
        version=place.ref.version,
        kind=found.kind,
        folder=place.folder,
        parts=tuple(ImagePart(file, size, "") for file, size in found.sizes.items()),
        added_at=clock(),
        description=found.description,
    )
    return Finding(place.folder, "new", after=image)


def _known(tree: Tree, image: DiskImage, before: DiskImage, clock: Clock) -> Finding:
    path = tree.path(image.folder)
    sizes = DiskFolder(path, image.folder, within=tree.root.resolve()).sizes
    kept = {part.file: part.size for part in image.parts}
    if sizes == kept:
        if image.state == "unavailable":
            found = replace(image, state=DISK_IMAGE.after(image.state, "find"))
            return Finding(image.folder, "found", before=before, after=found)
        return Finding(image.folder, "registered", before=before, after=image)
    notes = _differences(kept, dict(sizes))
    if all(part.sha256 for part in image.parts):
        return _damaged(before, notes, clock)
    found_now = tree.inspect(image.folder)  # its digests were never taken: it was still being copied
    parts = tuple(ImagePart(file, size, "") for file, size in found_now.sizes.items())
    fresh = replace(image, kind=found_now.kind, parts=parts, description=found_now.description)
    if fresh.state != DISK_IMAGE.first:
        return _damaged(before, notes, clock)
    return Finding(image.folder, "changed", notes, before, fresh)


def _differences(kept: dict[str, int], sizes: dict[str, int]) -> tuple[str, ...]:
    gone = [f"{name} is missing" for name in kept if name not in sizes]
    new = [f"{name} was not there when it was registered" for name in sizes if name not in kept]
    other = [
        f"{name} has {sizes[name]} octets, {size} when it was registered"
        for name, size in kept.items()
        if sizes.get(name, size) != size
    ]
    return (*gone, *other, *new)


def _damaged(image: DiskImage, notes: tuple[str, ...], clock: Clock) -> Finding:
    after = moved_by(image, Verdict(image, notes), clock)
    return Finding(image.folder, "damaged", notes, image, after)


def _missing(image: DiskImage, clock: Clock) -> Finding:
    after = moved_by(image, Verdict(image, away=True), clock)
    return Finding(image.folder, "missing", ("not in the dark store; kept as unavailable",), image, after)
