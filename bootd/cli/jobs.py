"""``bootd jobs``: what is being done to machines and images, how far it is, and what became of it."""

import time
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

import click

from bootd.cli import suggest
from bootd.cli.admin import ask
from bootd.cli.context import Site, is_terminal, pass_site, print_json
from bootd.cli.jobs_follow import LivePage, Page, follow_job, lines
from bootd.cli.tables import print_table
from bootd.cli.zone import server_zone
from bootd.clock import utc_now
from bootd.formats.instants import show_instant, zone_name
from bootd.model import Job, JobPart, Outcome
from bootd.services import jobs as service
from bootd.services import nodeset
from bootd.services.notify import poke
from bootd.store import Reads
from bootd.units import size_text

_LOOK_EVERY_S = 0.5
_SETS = ("ok", "failed", "timed-out")

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_number = click.argument("number", type=int, shell_complete=suggest.job)


@click.group()
def jobs() -> None:
    """Jobs: images on their way to LUNs and slots, reservations that begin and end.

    The calendar writes them down when their time comes; bootd serve does them, step by step.
    """


@jobs.command("list")
@click.option("--all", "over", is_flag=True, help="Also those that are over.")
@click.option(
    "--reservation", type=int, shell_complete=suggest.reservation, help="Only those of this reservation."
)
@_json
@pass_site
def list_(site: Site, over: bool, reservation: int | None, as_json: bool) -> None:
    """List the jobs, the newest first."""
    zone = server_zone()
    with site.read_store() as store:
        found = service.select(store, over=over, reservation=reservation)
        if as_json:
            print_json([plain(job, service.outcomes(store, job)) for job in found])
            return
    if not found:
        click.echo(
            "no job is open; bootd jobs list --all shows those that are over" if not over else "no jobs"
        )
        return
    headers = ("JOB", "KIND", "RESERVATION", "NODES", "STATE", f"SINCE ({zone_name(zone)})", "NOTE")
    print_table(headers, [_cells(job, zone) for job in found])


def _cells(job: Job, zone: tzinfo) -> tuple[str, ...]:
    since = job.ended_at or job.began_at or job.created_at
    state = f"{job.state}: {job.step}" if job.state == "running" and job.step else job.state
    reservation = "" if job.reservation is None else str(job.reservation)
    nodes = nodeset.fold(job.nodes)
    return (str(job.id), job.kind, reservation, nodes, state, show_instant(since, zone), job.note)


def plain(job: Job, outcomes: Mapping[Outcome, str]) -> dict[str, Any]:
    """Return a job as every ``--json`` shows it."""
    return {
        "id": job.id,
        "kind": str(job.kind),
        "reservation": job.reservation,
        "deployment": job.deployment,
        "nodes": list(job.nodes),
        "state": job.state,
        "step": job.step,
        "note": job.note,
        "created_at": job.created_at,
        "created_by": job.created_by,
        "due_at": job.due_at,
        "began_at": job.began_at,
        "ended_at": job.ended_at,
        "outcomes": {name: outcomes[Outcome(name)] for name in _SETS},
    }


@jobs.command()
@_number
@click.option("--outcome", type=click.Choice(_SETS), help="Print only the node set with this outcome.")
@_json
@pass_site
def show(site: Site, number: int, outcome: str | None, as_json: bool) -> None:
    """Show a job node by node, or print one of its node sets for the next command.

    \b
    bootd boot "$(bootd jobs show 7 --outcome failed)" memory:rescue --once
    """
    zone = server_zone()
    with site.read_store() as store:
        job = service.find(store, number)
        sets, parts = service.outcomes(store, job), store.job_parts(number)
    if outcome is not None:
        _print_set(job, outcome, sets[Outcome(outcome)])
    elif as_json:
        print_json(plain(job, sets) | {"parts": [_plain_part(part) for part in parts]})
    else:
        _show(job, sets, parts, zone)


def _print_set(job: Job, outcome: str, nodes: str) -> None:
    """Print a node set; an empty one is an error, lest a command takes nothing for something."""
    if not nodes:
        click.echo(f"no node of job {job.id} is in the set {outcome}", err=True)
        raise click.exceptions.Exit(1)
    click.echo(nodes)


def _plain_part(part: JobPart) -> dict[str, Any]:
    return {
        "node": part.node or None,
        "step": part.step,
        "outcome": str(part.outcome) or None,
        "since": part.since,
        "tries": part.tries,
        "octets": part.octets,
        "size": part.size,
        "rate": part.rate,
        "note": part.note,
        "word": part.word or None,
        "word_detail": part.word_detail,
        "word_at": part.word_at,
    }


def _show(job: Job, sets: Mapping[Outcome, str], parts: Sequence[JobPart], zone: tzinfo) -> None:
    click.echo(f"job {job.id}  {job.kind}  {job.state}")
    rows = {
        "for": "" if job.reservation is None else f"reservation {job.reservation}",
        "nodes": nodeset.fold(job.nodes),
        "step": job.step if job.state in service.OPEN else "",
        "note": job.note,
        "written": f"{show_instant(job.created_at, zone)} by {job.created_by}",
        "began": "" if job.began_at is None else show_instant(job.began_at, zone),
        "ended": "" if job.ended_at is None else show_instant(job.ended_at, zone),
        **{str(outcome): sets[outcome] for outcome in Outcome if outcome},
    }
    for label, text in rows.items():
        if text:
            click.echo(f"  {label:<9} {text}")
    if parts:
        print_table(("NODE", "STEP", "DONE", "OUTCOME", "NOTE"), [_part_cells(part) for part in parts])


def _part_cells(part: JobPart) -> tuple[str, ...]:
    amount = f"{size_text(part.octets)} of {size_text(part.size)}" if part.size else ""
    said = f"said {part.word}" + (f": {part.word_detail}" if part.word_detail else "") if part.word else ""
    note = "; ".join(text for text in (part.note, said) if text)
    return (part.node or "(all)", part.step, amount, str(part.outcome), note)


@jobs.command()
@_number
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object at each change.")
@pass_site
def follow(site: Site, number: int, as_json: bool) -> None:
    """Show how far a job is until it ends: 0 if it is done, else 1."""
    with site.read_store() as store:
        if service.find(store, number).state in service.OPEN:
            hear_daemon(site)
        job = watch(store, number, as_json=as_json)
    if job.state != "done":
        raise click.exceptions.Exit(1)


def pause() -> None:
    time.sleep(_LOOK_EVERY_S)


def hear_daemon(site: Site) -> None:
    """Say so where no daemon is heard: then nothing is done."""
    if ask(site.data_dir, "/api/v1/status") is None:
        click.echo("no bootd serve is heard here: without one nothing is done", err=True)


def watch(store: Reads, number: int, *, as_json: bool) -> Job:
    """Show how far a job is until it ends, and what became of it; return it as it ended."""
    live = is_terminal() and not as_json
    page: Page = LivePage() if live else lines(click.echo, server_zone(), as_json=as_json)
    with page:
        job = follow_job(store, number, page, pause)
    if not as_json:
        sets = service.outcomes(store, job)
        ends = [f"{outcome}: {sets[outcome]}" for outcome in Outcome if outcome and sets[outcome]]
        note = f" ({job.note})" if job.note else ""
        click.echo("  ".join([f"job {job.id} {job.state}{note}", *ends]))
    return job


@jobs.command()
@_number
@_json
@pass_site
def cancel(site: Site, number: int, as_json: bool) -> None:
    """Take a job back; one that runs is left tidy by its worker."""
    with site.open_store() as store:
        job = service.cancel(store, site.actor, number, clock=utc_now)
        sets = service.outcomes(store, job)
    poke(site.data_dir)
    if as_json:
        print_json(plain(job, sets))
    elif job.ended_at is not None:
        click.echo(f"cancelled job {number}; bootd jobs retry {number} brings it back")
    else:
        click.echo(f"job {number} is being taken back: bootd jobs follow {number}")


@jobs.command()
@_number
@_json
@pass_site
def retry(site: Site, number: int, as_json: bool) -> None:
    """Begin a job that failed anew, for the nodes that are not in the set ok."""
    with site.open_store() as store:
        job = service.retry(store, site.actor, number, clock=utc_now)
        sets = service.outcomes(store, job)
    poke(site.data_dir)
    if as_json:
        print_json(plain(job, sets))
        return
    left = sets[Outcome.OPEN]
    click.echo(f"job {number} begins anew{f' for {left}' if left else ''}: bootd jobs follow {number}")
