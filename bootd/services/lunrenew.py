"""New clones for nodes whose disks are broken: of the image that they run, without what they wrote.

Nothing changes for a node until its new clone is there: a job that fails or is taken back leaves it the
old one. That one stays, under its own name, for the system which may still run from it, until it is left.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from bootd.clock import Clock
from bootd.errors import Refused
from bootd.model import Job, JobKind
from bootd.services import jobs, luns, nodeset
from bootd.services.jobs import RENEW, THEN_START
from bootd.services.lunflip import check_no_jobs, under_way
from bootd.store import Store, Transaction


@dataclass(frozen=True, slots=True)
class Renewed:
    """The nodes that lose what they wrote, and the jobs that start them on new clones."""

    nodes: tuple[str, ...]
    jobs: tuple[Job, ...]


class _NotKept(Exception):
    """Leaves the transaction of a dry run."""


def renew(
    store: Store, actor: str, group: str, names: Iterable[str], *, clock: Clock, dry_run: bool = False
) -> Renewed:
    """Have new clones made for nodes that boot from the pair now, and the nodes started anew.

    Raises `Refused` for nodes that do not, and while a job is at work for them; `NotFound`.
    """
    wanted, result = sorted(set(names)), Renewed((), ())
    with suppress(_NotKept), store.transaction(actor, "luns renew") as change:
        luns.named(change, group)
        result = Renewed(tuple(wanted), tuple(_renew(change, actor, group, wanted, clock)))
        if dry_run:
            raise _NotKept
    return result


def _renew(change: Transaction, actor: str, group: str, wanted: list[str], clock: Clock) -> Iterable[Job]:
    left = set(wanted)
    for reservation, deployment in under_way(change, group):
        own = [name for name in deployment.nodes if name in left]
        if not own or deployment.side is None:
            continue
        check_no_jobs(change, reservation)
        left.difference_update(own)
        yield jobs.add(
            change,
            JobKind.STAGE_LUN,
            by=actor,
            now=clock(),
            nodes=own,
            reservation=reservation.id,
            deployment=deployment.id,
            facts={THEN_START: True, RENEW: True},
        )
    if left:
        raise Refused(f"{nodeset.fold(sorted(left))} boots nothing from the LUN pair of {group} now")
