"""``bootd hosts import|export|diff|edit``: the whole table as a text."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.errors import BadText, Mistake, Refused
from bootd.formats import FORMATS, find_format, guess_format
from bootd.services import hosts as service
from bootd.services.hosts import Given
from bootd.services.hosttable import Plan, describe, differences
from bootd.services.notify import poke

_MARK = "#!! "  # starts the lines in which an edited text is given back its mistakes
_format = click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    help="Default: by the file's ending, else ssitab.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_file = click.argument("file", type=click.Path(path_type=Path, allow_dash=True))


def _read(file: Path, format_name: str | None) -> Given:
    """Return the table in *file* (``-``: standard input); raises `BadText`."""
    source = "standard input" if str(file) == "-" else str(file)
    chosen = find_format(format_name) if format_name else guess_format(file.name)
    try:
        octets = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return Given(octets.decode("utf-8"), source, chosen)
    except OSError as error:
        raise BadText(source, [Mistake(0, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise BadText(source, [Mistake(line, "not UTF-8 text")]) from error


@click.command("import")
@_file
@_format
@click.option("--replace", is_flag=True, help="Hosts that FILE does not have are removed.")
@click.option("--dry-run", is_flag=True, help="Check and say what would change; write nothing.")
@_json
@pass_site
def import_(
    site: Site, file: Path, format_name: str | None, replace: bool, dry_run: bool, as_json: bool
) -> None:
    """Bring the hosts of FILE into the table, all or none.

    A line means the host of its name, else the one with its MAC address (which is renamed).
    Hosts that FILE does not have stay, unless --replace.
    """
    given = _read(file, format_name)
    with site.open_store(make=not dry_run) as store:
        plan = service.import_table(store, site.actor, given, replace_all=replace, dry_run=dry_run)
    if not dry_run:
        poke(site.data_dir)
    _print_plan(plan, as_json, dry_run)


def _print_plan(plan: Plan, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json(_plain(plan) | {"dry_run": dry_run})
        return
    for line in describe(plan):
        click.echo(line)
    click.echo(plan.summary + (" (dry run: nothing was written)" if dry_run else ""))


def _plain(plan: Plan) -> dict[str, Any]:
    return {
        "added": [host.name for host in plan.added],
        "changed": [
            {"name": pair.before.name, "differences": differences(pair.before, pair.after)}
            for pair in plan.changed
        ],
        "removed": [host.name for host in plan.removed],
        "unchanged": plan.unchanged,
    }


@click.command()
@click.argument("nodes", metavar="[NODESET]", default="@all", shell_complete=suggest.node_set)
@_format
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@pass_site
def export(site: Site, nodes: str, format_name: str | None, output: Path | None) -> None:
    """Print the table. As ssitab, it keeps the comments and order of the last import."""
    chosen = find_format(format_name) if format_name else guess_format(output.name if output else "")
    with site.read_store() as store:
        text = service.export_table(store, chosen.name, nodes)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot write {output}: {error.strerror}") from error


@click.command()
@_file
@_format
@_json
@pass_site
def diff(site: Site, file: Path, format_name: str | None, as_json: bool) -> None:
    """Say what it takes to make the table what FILE says. Writes nothing."""
    with site.read_store() as store:
        plan = service.difference(store, _read(file, format_name))
    if as_json:
        print_json(_plain(plan))
        return
    for line in describe(plan):
        click.echo(line)
    if not plan:
        click.echo("no difference")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask before writing.")
@pass_site
def edit(site: Site, yes: bool) -> None:
    """Edit the table as ssitab text in $VISUAL or $EDITOR. All or nothing is written."""
    with site.open_store() as store:
        expected = service.fingerprint(store.hosts())
        before = service.export_table(store)
        with _draft(before) as draft:
            given = _edited(draft, yes)
            if given is None or given.text == before:
                click.echo("nothing was changed")
                return
            plan = service.difference(store, given)
            for line in describe(plan) or ["only comments and spacing differ"]:
                click.echo(line)
            if not yes:
                click.confirm("Write this?", abort=True)
            service.import_table(
                store, site.actor, given, replace_all=True, expected=expected, what="hosts edit"
            )
    poke(site.data_dir)
    click.echo(plan.summary)


@contextmanager
def _draft(text: str) -> Iterator[Path]:
    """Give a file with *text* to edit; it stays, and is named, where the work in it would be lost."""
    descriptor, name = tempfile.mkstemp(prefix="bootd-hosts-", suffix=".ssitab")
    os.close(descriptor)
    draft = Path(name)
    draft.write_text(text, encoding="utf-8")
    try:
        yield draft
    except BaseException:
        if draft.exists() and draft.read_text(encoding="utf-8", errors="replace") != text:
            click.echo(f"your text is kept: {draft}", err=True)
        else:
            draft.unlink(missing_ok=True)
        raise
    draft.unlink(missing_ok=True)


def _edited(draft: Path, yes: bool) -> Given | None:
    """Have *draft* edited until it has no mistakes; None where the person left it empty."""
    while True:
        _run_editor(draft)
        text = _without_marks(_read(draft, "ssitab").text)
        if not text.strip():
            return None
        given = Given(text, "hosts", find_format("ssitab"))
        try:
            given.format.parse(text, str(draft))
        except BadText as error:
            draft.write_text(text, encoding="utf-8")
            if yes:
                raise
            click.echo(str(error), err=True)
            click.confirm("Edit again?", default=True, abort=True, err=True)
            draft.write_text(_with_marks(text, error), encoding="utf-8")
        else:
            draft.write_text(text, encoding="utf-8")
            return given


def _run_editor(draft: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        status = subprocess.run([*shlex.split(editor), str(draft)], check=False).returncode
    except (OSError, ValueError) as error:
        raise Refused(f"cannot start the editor {editor!r}: set $EDITOR") from error
    if status != 0:
        raise Refused(f"the editor {editor!r} ended with status {status}; nothing was changed")


def _with_marks(text: str, error: BadText) -> str:
    """Put the mistakes before *text*, with the line numbers that the lines then have."""
    shift = len(error.mistakes) + 1
    rows = [f"{_MARK}line {mistake.line + shift}: {mistake.message}" for mistake in error.mistakes]
    return "\n".join([f"{_MARK}mistakes; these lines go away by themselves", *rows, text])


def _without_marks(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.startswith(_MARK))
