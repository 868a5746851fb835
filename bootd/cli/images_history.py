"""``bootd images history``: the path of an image, from registered to running and back."""

from typing import Any

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.tables import print_table
from bootd.cli.zone import server_zone
from bootd.formats.instants import zone_name
from bootd.services import imagehistory as service
from bootd.services.imagehistory import Step


@click.command()
@click.argument("ref", metavar="PROJECT/NAME[@VERSION]", shell_complete=suggest.disk_image)
@click.option("--nodes", "with_nodes", is_flag=True, help="Also what single nodes, slots and LUNs did.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: everything.")
@pass_site
def history(site: Site, ref: str, with_nodes: bool, as_json: bool) -> None:
    """Show the path of an image: REG, DARK, SCHED, DEPLOY, READY, RUN, DARK; when, by whom and why.

    Without a version all of them. What went wrong on single nodes, slots and LUNs is always told.
    """
    with site.read_store() as store:
        steps = service.history(store, ref)
    if as_json:
        print_json([_plain(step) for step in steps])
        return
    zone = server_zone()
    rows = [
        (
            f"{step.at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
            str(step.image),
            step.step,
            service.place_of(step),
            "" if step.reservation is None else str(step.reservation),
            step.by,
            " – ".join(filter(None, (step.why, step.note))),
        )
        for step in steps
        if with_nodes or _matters(step)
    ]
    head = (f"TIME ({zone_name(zone)})", "IMAGE", "STEP", "WHERE", "RESERVATION", "BY", "WHY")
    print_table(head, rows)


def _matters(step: Step) -> bool:
    return step.step.isupper() or step.step.endswith(("failed", "damaged"))


def _plain(step: Step) -> dict[str, Any]:
    return {
        "at": step.at,
        "image": str(step.image),
        "step": step.step,
        "where": step.where or None,
        "nodes": list(step.nodes),
        "reservation": step.reservation,
        "by": step.by,
        "why": step.why,
        "note": step.note,
    }
