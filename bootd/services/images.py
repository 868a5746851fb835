"""Disk images: copied into the dark store, verified there, looked up, retired."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bootd.clock import Clock
from bootd.darkstore import sums
from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.folder import Folder, text_of
from bootd.darkstore.incoming import Incoming, Progress, check_room, incoming, make_root, read_through
from bootd.darkstore.tree import DiskFolder, Inspected, Tree, folder_of, inspect, reachable
from bootd.errors import BadValue, Mistake, NotFound, Refused
from bootd.formats.fields import nearest
from bootd.lifecycle import DISK_IMAGE
from bootd.model import (
    DiskImage,
    ImageKind,
    ImagePart,
    ImageRef,
    Project,
    parse_image_ref,
)
from bootd.store import Reads, Store, Transaction

DAMAGE = "damage"  # in a description: what the last verification found


def _silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


# -- looking up -----------------------------------------------------------------------------


def find(reads: Reads, text: str) -> DiskImage:
    """Return the image that *text* names, the newest version where it names none; raises `NotFound`."""
    ref = parse_image_ref(text)
    if ref.version is not None:
        image = reads.find(DiskImage, str(ref))
    else:
        image = next(iter(reads.image_versions(ref.project, ref.name)), None)
    if image is None:
        raise NotFound("image", text, _hint(reads, ref))
    return image


def versions(reads: Reads, text: str) -> list[DiskImage]:
    """Return every version of an image, newest first; raises `NotFound`."""
    ref = parse_image_ref(text)
    found = reads.image_versions(ref.project, ref.name)
    if not found:
        raise NotFound("image", text, _hint(reads, ref))
    return found


def images(reads: Reads, project: str | None = None) -> list[DiskImage]:
    """Return every version of every image, by name; raises `NotFound` for a project there is not."""
    if project is not None:
        _project(reads, project)
    found = [image for image in reads.every(DiskImage) if project in (None, image.project)]
    return sorted(found, key=lambda image: (image.project, image.name, image.version))


def users(reads: Reads) -> dict[ImageRef, list[int]]:
    """Return for each image the reservations, booked or active, that name it."""
    return {parse_image_ref(ref): numbers for ref, numbers in reads.bookings_of_images().items()}


def _hint(reads: Reads, ref: ImageRef) -> str:
    if ref.version is not None and (kept := reads.image_versions(ref.project, ref.name)):
        return "versions: " + ", ".join(str(image.version) for image in kept)
    known = {f"{image.project}/{image.name}" for image in reads.every(DiskImage)}
    near = nearest(f"{ref.project}/{ref.name}", known).removeprefix("; ")
    return near or "bootd images list names them"


def _project(reads: Reads, name: str) -> Project:
    """Return a project that may have images; raises `NotFound`, `Refused`."""
    project = reads.find(Project, name)
    if project is None:
        near = nearest(name, [each.name for each in reads.every(Project)]).removeprefix("; ")
        raise NotFound("project", name, near or f"bootd projects add {name} registers it")
    if project.state == "retired":
        raise Refused(f"project {name!r} is retired; it is given no images any more")
    return project


# -- adding ---------------------------------------------------------------------------------


def check_new(reads: Reads, text: str) -> ImageRef:
    """Return what *text* names, if an image may be added as its next version; raises as `add` does."""
    ref = parse_image_ref(text)
    if ref.version is not None:
        raise BadValue("image", text, "PROJECT/NAME: the version is counted by bootd")
    _project(reads, ref.project)
    return ref


@dataclass(frozen=True, slots=True)
class Brought:
    """An image that was copied in; nobody sees it before it is kept."""

    ref: ImageRef
    _tree: Tree
    _found: Inspected
    _parts: Sequence[ImagePart]
    _coming: Incoming

    def keep(self, change: Transaction, clock: Clock) -> DiskImage:
        """Give it the next version, in the tree and in the store; raises as `add` does."""
        image = _next_version(change, self._tree, self.ref, self._found, self._parts, clock)
        self._coming.place(image.folder)
        change.keep(image)
        return image


@contextmanager
def bringing(
    store: Store, tree: Tree, text: str, path: Path, *, progress: Progress = _silent, linked: bool = False
) -> Iterator[Brought]:
    """Copy the image at *path* in, for the block to keep it; else nothing of it stays.

    With *linked* its files get second names instead of copies, where the file system has such. Raises
    as `add` does.
    """
    ref = check_new(store, text)
    found = _named(inspect(path.resolve(), str(path)), path)
    check_root(store, tree)
    if not linked:
        check_room(tree.root, found.sizes)
    with incoming(tree.root) as coming:
        source = DiskFolder(path.resolve(), str(path))
        parts = _copy(coming, source, found, str(path), progress, linked=linked)
        try:
            yield Brought(ref, tree, found, parts, coming)
        except BaseException:
            coming.take_back()
            raise


def add(
    store: Store, actor: str, tree: Tree, text: str, path: Path, *, clock: Clock, progress: Progress = _silent
) -> DiskImage:
    """Copy the image at *path* in as the next version of PROJECT/NAME.

    Until the last step nothing of it can be seen. Raises `BadImage` with all that is wrong
    with it, `Refused` where the dark store is full or away from here, `NotFound` for the project.
    """
    with (
        bringing(store, tree, text, path, progress=progress) as brought,
        store.transaction(actor, "images add") as change,
    ):
        return brought.keep(change, clock)


def _named(found: Inspected, path: Path) -> Inspected:
    """A file that was given alone gets the name it has in the dark store."""
    if found.kind is ImageKind.CLONEZILLA or path.is_dir():
        return found
    name = f"disk.{found.kind}"
    return Inspected(found.kind, {**found.description, "file": name}, {name: sum(found.sizes.values())})


def check_root(store: Store, tree: Tree) -> None:
    """Have the root of the tree; raises `DarkStoreAway` where it cannot be the real one."""
    expected = sum(image.state != "retired" for image in store.every(DiskImage))
    if not expected and not tree.must_be_mount and not tree.root.exists():
        make_root(tree.root)
    tree.check(expected=expected)


def _copy(
    coming: Incoming, source: DiskFolder, found: Inspected, told: str, progress: Progress, *, linked: bool
) -> tuple[ImagePart, ...]:
    total, done = sum(found.sizes.values()), 0
    expected, wrong = _expected(source)
    parts = []

    def step(octets: int) -> None:
        nonlocal done
        done += octets
        if done > total:  # and it may never end
            raise BadImage(told, [Mistake(0, "it grows while it is copied")])
        progress(told, done, total)

    for name, size in found.sizes.items():
        own = expected.get(name, {})
        part, digests = coming.copy(source.file(name), name, list(own), step, linked=linked)
        if part.size != size:
            wrong.append(f"{name} changed while it was copied: {size} octets, then {part.size}")
        wrong += _unlike(name, own, digests)
        parts.append(part)
    if wrong:
        raise BadImage(told, [Mistake(0, each) for each in wrong])
    return tuple(parts)


def _next_version(
    change: Transaction, tree: Tree, ref: ImageRef, found: Inspected, parts: Sequence[ImagePart], clock: Clock
) -> DiskImage:
    _project(change, ref.project)
    kept = [image.version for image in change.image_versions(ref.project, ref.name)]
    version = max([0, *kept, *tree.versions(ref.project, ref.name)]) + 1
    full = ImageRef(ref.project, ref.name, version)
    return DiskImage(
        project=ref.project,
        name=ref.name,
        version=version,
        kind=found.kind,
        folder=folder_of(full),
        parts=tuple(parts),
        added_at=clock(),
        description=found.description,
    )


# -- verifying ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """An image as it is after it was read, and what is wrong with it."""

    image: DiskImage
    problems: tuple[str, ...] = ()
    first: bool = False  # there were no digests yet: they were computed now, and kept
    away: bool = False  # it could not be read; nothing is known of it


def verify(
    store: Store,
    actor: str,
    tree: Tree,
    chosen: Sequence[DiskImage],
    *,
    clock: Clock,
    progress: Progress = _silent,
    told: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Read each part of *chosen* and compare its digests; keep what was found, image by image.

    Raises `IllegalMove` before anything is read where one cannot be verified any more.
    """
    for image in chosen:
        DISK_IMAGE.after(image.state, "verify")
    expected = sum(image.state != "retired" for image in store.every(DiskImage))
    total, done = sum(image.size for image in chosen), 0
    verdicts = []
    for image in chosen:
        before = done

        def step(octets: int, image: DiskImage = image) -> None:
            nonlocal done
            done += octets
            progress(str(image.ref), min(done, total), total)

        found = _look(tree, image, expected, step)
        done = before + image.size
        verdicts.append(_settle(store, actor, found, clock))
        told(verdicts[-1])
    return verdicts


def _look(tree: Tree, image: DiskImage, expected: int, step: Callable[[int], None]) -> Verdict:
    try:
        tree.check(expected=expected)
        path = tree.path(image.folder)
        with reachable(str(path)):
            return _compare(DiskFolder(path, image.folder, within=tree.root.resolve()), image, step)
    except DarkStoreAway as error:
        return Verdict(image, (str(error),), away=True)
    except FileNotFoundError:
        return Verdict(image, (f"{image.folder} is not in the dark store",), away=True)
    except BadImage as error:
        return Verdict(image, tuple(mistake.message for mistake in error.mistakes))


def _compare(folder: DiskFolder, image: DiskImage, step: Callable[[int], None]) -> Verdict:
    """Read every part; raises `FileNotFoundError` only where the whole folder went."""
    problems, parts = [], []
    theirs, wrong = _expected(folder)
    problems += wrong
    for part in image.parts:
        if part.file not in folder.sizes:
            problems.append(f"{part.file} is missing")
            continue
        own = theirs.get(part.file, {})
        try:
            size, digests = read_through(
                folder.file(part.file), ["sha256", *own], lambda chunk: step(len(chunk))
            )
        except FileNotFoundError:
            problems.append(f"{part.file} is missing")
            continue
        except OSError as error:
            with reachable(str(folder.file(part.file))):
                problems.append(f"{part.file} cannot be read: {error.strerror}")
            continue
        parts.append(replace(part, size=size, sha256=digests["sha256"]))
        if size != part.size:
            problems.append(f"{part.file} has {size} octets, {part.size} when it was registered")
        elif part.sha256 and digests["sha256"] != part.sha256:
            problems.append(f"{part.file} changed: its SHA-256 is {digests['sha256']}, not {part.sha256}")
        problems += _unlike(part.file, own, digests)
    known = {part.file for part in image.parts}
    problems += [f"{name} was not there when it was registered" for name in folder.sizes if name not in known]
    first = not all(part.sha256 for part in image.parts)
    return Verdict(image if problems else replace(image, parts=tuple(parts)), tuple(problems), first)


def _settle(store: Store, actor: str, found: Verdict, clock: Clock) -> Verdict:
    """Keep what a look found, if the image is still as it was when it began."""
    with store.transaction(actor, "images verify") as change:
        image = change.find(DiskImage, str(found.image.ref))
        if image is None:
            raise NotFound("image", str(found.image.ref), "it was removed while it was read")
        moved = moved_by(image, found, clock)
        change.keep(moved)
    return replace(found, image=moved)


def moved_by(image: DiskImage, found: Verdict, clock: Clock) -> DiskImage:
    """Return *image* as a verdict leaves it; raises `IllegalMove`."""
    described = {key: value for key, value in image.description.items() if key != DAMAGE}
    if found.away:
        can_miss = "miss" in DISK_IMAGE.events(image.state)
        return replace(image, state=DISK_IMAGE.after(image.state, "miss")) if can_miss else image
    if found.problems:
        return replace(
            image,
            state=DISK_IMAGE.after(image.state, "fail-verification"),
            description={**described, DAMAGE: list(found.problems)},
        )
    return replace(
        image,
        state=DISK_IMAGE.after(image.state, "verify"),
        parts=found.image.parts,
        verified_at=clock(),
        description=described,
    )


def _expected(folder: Folder) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return file -> algorithm -> digest of the image's own checksum files, and what is wrong with those."""
    digests: dict[str, dict[str, str]] = {}
    wrong: list[str] = []
    for file, (algorithm, _) in sums.FILES.items():
        named, bad = sums.parse_sums(text_of(folder, file), file)
        wrong += bad
        for name, digest in named.items():
            if name not in folder.sizes:
                wrong.append(f"{name} is missing: {file} names it")
            elif name != file:
                digests.setdefault(name, {})[algorithm] = digest
    return digests, wrong


def _unlike(name: str, own: Mapping[str, str], digests: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: its {algorithm} is {digests[algorithm]}, Clonezilla wrote {digest}"
        for algorithm, digest in own.items()
        if digests[algorithm] != digest
    ]


# -- retiring -------------------------------------------------------------------------------


def retire(store: Store, actor: str, text: str) -> DiskImage:
    """Let an image not be booked any more; its files stay. Raises `Refused` while a reservation names it."""
    with store.transaction(actor, "images retire") as change:
        image = find(change, text)
        live = [each for each in change.image_versions(image.project, image.name) if each.state != "retired"]
        if parse_image_ref(text).version is None and len(live) > 1:
            names = ", ".join(str(each.ref) for each in live)
            raise Refused(f"{text} has more than one version: name the one to retire: {names}")
        retired = replace(image, state=DISK_IMAGE.after(image.state, "retire"))
        booked = users(change).get(image.ref)
        if booked:
            numbers = ", ".join(map(str, sorted(set(booked))))
            raise Refused(
                f"image {image.ref} is booked by reservations {numbers}: cancel or change them first"
            )
        change.keep(retired)
    return retired
