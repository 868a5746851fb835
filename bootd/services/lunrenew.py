"""New clones for nodes whose disks are broken: of the image that they run, without what they wrote."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from bootd.clock import Clock
from bootd.errors import Refused
from bootd.model import Job, JobKind
from bootd.services import jobs, luns, nodeset
from bootd.services.lunflip import THEN_START, check_no_jobs, made_anew, under_way
from bootd.store import Store, Transaction

RENEW = "renew"  # fact of a job that makes clones: those that are there go first


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
        for node in change.deployed_nodes(deployment.id):
            if node.node in own:
                change.keep(made_anew(node, deployment.side, clock()))
        luns.drop_clones(change, [luns.clone_volume(deployment, deployment.side, name) for name in own])
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
