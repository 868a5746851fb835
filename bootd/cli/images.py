"""``bootd images``: disk images in the dark store."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.images_build import build
from bootd.cli.images_capture import capture
from bootd.cli.images_history import history
from bootd.cli.tables import print_table
from bootd.clock import utc_now
from bootd.darkstore.incoming import Progress
from bootd.darkstore.tree import Tree
from bootd.model import DiskImage, ImageRef
from bootd.services import images as service
from bootd.services.imagescan import Finding, scan
from bootd.services.notify import poke
from bootd.units import count_text, size_text

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ref = click.argument("ref", metavar="PROJECT/NAME[@VERSION]", shell_complete=suggest.disk_image)
_BAR_FROM = 8 << 20  # octets; less is read before a bar is drawn


@click.group()
def images() -> None:
    """Disk images: what researchers bring, kept in the dark store version by version."""


def _tree(site: Site) -> Tree:
    return Tree(site.config.dark_store, site.config["images.dark_store_mount"])


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    """Show a bar on the terminal's error stream where there is much to read."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    with click.progressbar(length=0, label=label, file=sys.stderr, item_show_func=str) as bar:

        def progress(what: str, done: int, total: int) -> None:
            bar.length = total
            if total >= _BAR_FROM:
                bar.update(done - bar.pos, what)

        yield progress


@images.command("scan")
@click.option("--dry-run", is_flag=True, help="Say what is there and keep nothing.")
@_json
@pass_site
def scan_(site: Site, dry_run: bool, as_json: bool) -> int:
    """Look through the dark store: register what is new, note what is missing or changed."""
    tree = _tree(site)
    with site.open_store(make=not dry_run) as store:
        found = scan(store, site.actor, tree, clock=utc_now, dry_run=dry_run)
    if not dry_run:
        poke(site.data_dir)
    if as_json:
        findings = [_plain_finding(each) for each in found.findings]
        print_json({"away": found.away or None, "dry_run": dry_run, "found": findings})
        return 1 if found.away or found.refused else 0
    for each in found.findings:
        known = each.what == "registered" and each.after
        click.echo(f"{each.folder}: {known.state if known else each.what}")
        for note in each.notes:
            click.echo(f"    {note}")
    if found.away:
        click.echo(f"bootd: {found.away}", err=True)
    elif not found.findings:
        click.echo(f"nothing in {tree.root}: bootd images add PROJECT/NAME PATH copies an image in")
    new = [each for each in found.findings if each.what == "new"]
    if new:
        click.echo(
            f"{len(new)} {'would be registered' if dry_run else 'registered'}; next: bootd images verify"
        )
    return 1 if found.away or found.refused else 0


def _plain_finding(found: Finding) -> dict[str, Any]:
    image = found.after or found.before
    return {
        "folder": found.folder,
        "found": found.what,
        "image": str(image.ref) if image else None,
        "state": image.state if image else None,
        "notes": list(found.notes),
    }


@images.command()
@click.argument("name", metavar="PROJECT/NAME", shell_complete=suggest.disk_image)
@click.argument("path", type=click.Path(path_type=Path))
@_json
@pass_site
def add(site: Site, name: str, path: Path, as_json: bool) -> None:
    """Copy the image at PATH into the dark store, as the next version of PROJECT/NAME.

    PATH is a folder as Clonezilla saves it, or a raw or qcow2 file.
    """
    with site.open_store() as store, _bar("copying") as progress:
        image = service.add(store, site.actor, _tree(site), name, path, clock=utc_now, progress=progress)
    poke(site.data_dir)
    if as_json:
        print_json(_plain(image, []))
        return
    click.echo(
        f"image {image.ref}: {image.kind}, {count_text(len(image.parts), 'file')}, {size_text(image.size)}"
    )
    click.echo(f"next: bootd images verify {image.ref}")


def _amount(image: DiskImage) -> str:
    return f"{count_text(len(image.parts), 'file')}, {size_text(image.size)}"


@images.command()
@click.argument("refs", metavar="[PROJECT/NAME[@VERSION]]...", nargs=-1, shell_complete=suggest.disk_image)
@_json
@pass_site
def verify(site: Site, refs: tuple[str, ...], as_json: bool) -> int:
    """Read images (default: all that are not retired) and compare their digests."""
    with site.open_store() as store:
        chosen = [service.find(store, ref) for ref in refs] or [
            image for image in service.images(store) if image.state != "retired"
        ]
        with _bar("reading") as progress:
            found = service.verify(store, site.actor, _tree(site), chosen, clock=utc_now, progress=progress)
    poke(site.data_dir)
    if as_json:
        print_json([_plain_verdict(each) for each in found])
    else:
        for each in found:
            _tell(each)
        if not found:
            click.echo("no images to verify")
    return 1 if any(each.problems for each in found) else 0


def _tell(verdict: service.Verdict) -> None:
    image = verdict.image
    if verdict.away:
        click.echo(f"{image.ref}: could not be read, {image.state}: {'; '.join(verdict.problems)}")
    elif verdict.problems:
        click.echo(f"{image.ref}: {image.state}")
        for problem in verdict.problems:
            click.echo(f"    {problem}")
    else:
        what = "digests taken" if verdict.first else "good"
        click.echo(f"{image.ref}: {what}, {_amount(image)}, now {image.state}")


def _plain_verdict(verdict: service.Verdict) -> dict[str, Any]:
    return {
        "image": str(verdict.image.ref),
        "state": verdict.image.state,
        "first": verdict.first,
        "problems": list(verdict.problems),
    }


@images.command("list")
@click.argument("project", required=False, shell_complete=suggest.project)
@click.option("--all", "with_retired", is_flag=True, help="Also the retired ones.")
@_json
@pass_site
def list_(site: Site, project: str | None, with_retired: bool, as_json: bool) -> None:
    """List images, of PROJECT or of all."""
    with site.read_store() as store:
        found = service.images(store, project)
        used_by = service.users(store)
    _print([each for each in found if with_retired or each.state != "retired"], used_by, as_json)


@images.command()
@click.argument("name", metavar="PROJECT/NAME", shell_complete=suggest.disk_image)
@_json
@pass_site
def versions(site: Site, name: str, as_json: bool) -> None:
    """List every version of an image, newest first."""
    with site.read_store() as store:
        found = service.versions(store, name)
        used_by = service.users(store)
    _print(found, used_by, as_json)


def _print(found: Sequence[DiskImage], used_by: Mapping[ImageRef, list[int]], as_json: bool) -> None:
    if as_json:
        print_json([_plain(image, used_by.get(image.ref, [])) for image in found])
    elif found:
        headers = ("IMAGE", "STATE", "KIND", "SIZE", "FILES", "ADDED (UTC)", "VERIFIED (UTC)", "BOOKED BY")
        print_table(headers, [_cells(image, used_by.get(image.ref, [])) for image in found])
    else:
        click.echo("no images yet: bootd images add PROJECT/NAME PATH, or bootd images scan")


def _cells(image: DiskImage, used_by: list[int]) -> tuple[str, ...]:
    return (
        str(image.ref),
        image.state,
        str(image.kind),
        size_text(image.size),
        str(len(image.parts)),
        f"{image.added_at:%Y-%m-%d %H:%M}",
        f"{image.verified_at:%Y-%m-%d %H:%M}" if image.verified_at else "never",
        ", ".join(map(str, used_by)),
    )


def _plain(image: DiskImage, used_by: list[int]) -> dict[str, Any]:
    return {
        "image": str(image.ref),
        "project": image.project,
        "name": image.name,
        "version": image.version,
        "state": image.state,
        "kind": str(image.kind),
        "folder": image.folder,
        "size": image.size,
        "added_at": image.added_at,
        "verified_at": image.verified_at,
        "booked_by": used_by,
        "description": dict(image.description),
        "parts": [{"file": p.file, "size": p.size, "sha256": p.sha256 or None} for p in image.parts],
    }


@images.command()
@_ref
@_json
@pass_site
def show(site: Site, ref: str, as_json: bool) -> None:
    """Show an image: its partitions, its files with their digests, who booked it."""
    with site.read_store() as store:
        image = service.find(store, ref)
        used_by = service.users(store).get(image.ref, [])
    if as_json:
        print_json(_plain(image, used_by))
        return
    click.echo(click.style(str(image.ref), bold=True))
    click.echo(f"  state     {image.state}")
    click.echo(
        f"  kind      {image.kind}, {size_text(image.size)} in {site.config.dark_store / image.folder}"
    )
    verified = f"{image.verified_at:%Y-%m-%d %H:%M:%S} UTC" if image.verified_at else "never"
    click.echo(f"  added     {image.added_at:%Y-%m-%d %H:%M:%S} UTC; verified {verified}")
    click.echo(f"  booked by {', '.join(map(str, used_by)) or 'nobody'}")
    for line in _described(image.description):
        click.echo(f"  {line}")
    for part in image.parts:
        click.echo(f"  {part.file}  {size_text(part.size)}  sha256 {part.sha256 or 'not taken yet'}")


def _described(description: Mapping[str, Any]) -> Iterator[str]:
    """Say what is known of an image's content, a line each."""
    if description.get("saved_at"):
        yield f"saved     {description['saved_at']}"
    if "virtual_size" in description:
        kind = description.get("label") or description.get("file_system", "")
        yield f"disk      {size_text(description['virtual_size'])} {kind}".rstrip()
    for disk in description.get("disks", ()):
        size = f", {size_text(disk['size'])}" if disk["size"] else ""
        yield f"disk      {disk['name']}: {disk['label'] or 'no label known'}{size}"
        for each in disk["partitions"]:
            used = f", {size_text(each['used'])} used" if each["used"] is not None else ""
            how = f", {each['tool']} {each['compression']}".rstrip() if each["tool"] else ""
            yield f"  {each['device']}  {each['file_system'] or '-'}  {size_text(each['size'])}{used}{how}"
    for problem in description.get(service.DAMAGE, ()):
        yield f"damage    {problem}"


@images.command()
@_ref
@pass_site
def retire(site: Site, ref: str) -> None:
    """Let an image not be booked any more; its files stay where they are."""
    with site.open_store() as store:
        image = service.retire(store, site.actor, ref)
    poke(site.data_dir)
    click.echo(f"image {image.ref} is retired; its files stay in {site.config.dark_store / image.folder}")


images.add_command(build)
images.add_command(capture)
images.add_command(history)
