"""Which clones are still needed: those that nodes boot, and those that a flip by hand would give them."""

from dataclasses import replace
from datetime import datetime

from bootd.model import Deployment, JobKind, LunClone, LunPair, LunSide
from bootd.services.jobs import OPEN
from bootd.services.luns import named, users
from bootd.store import Reads, Transaction


def booted_clones(reads: Reads, deployment: Deployment) -> list[str]:
    """Return the clones that *deployment* needs: what its nodes boot, or would boot after a flip by hand."""
    pair = reads.find(LunPair, deployment.group or "")
    given = [node.volume for node in reads.deployed_nodes(deployment.id) if node.volume]
    if pair is None:
        return given
    found = (clone for clone in reads.clones(pair.group) if clone.deployment == deployment.id)
    return [*given, *(clone.volume for clone in found if _may_be_booted(clone, pair.sides[clone.side]))]


def _may_be_booted(clone: LunClone, side: LunSide) -> bool:
    """Tell whether a flip by hand may give it to its node.

    What an older bootd made does not say of what; it is no longer given to anybody, but it is kept
    until its side is written, for what its node wrote there.
    """
    is_unknown = clone.made_at is None and not clone.digest
    return clone.is_of(side) or (is_unknown and side.state != "staging")


def stale_clones(reads: Reads, group: str) -> list[LunClone]:
    """Return the clones of a pair that nobody needs, but for those that an END job is about to remove.

    A deployment that was flipped by hand keeps its clones of the other side until that is written.
    """
    leaving = [job.reservation for job in reads.jobs(states=OPEN, kind=JobKind.END) if job.reservation]
    going = {each.id for number in leaving for each in reads.deployments_of(number)}
    needed = {volume for each in users(reads, group) for volume in booted_clones(reads, each)}
    return [
        clone
        for clone in reads.clones(named(reads, group).group)
        if clone.deployment not in going and clone.volume not in needed
    ]


def given_up(reads: Reads, group: str) -> list[LunClone]:
    """Return the clones that were replaced by newer ones, and are not gone yet."""
    return [clone for clone in reads.clones(group) if not clone.digest and clone.made_at is not None]


def give_up_clones(change: Transaction, clone: LunClone, now: datetime) -> None:
    """Let its node boot no other clone of that side any more that it got from the same deployment."""
    own = (clone.deployment, clone.node)
    for other in change.clones(clone.group, clone.side):
        if (other.deployment, other.node) == own and other.volume != clone.volume and other.digest:
            change.keep(replace(other, digest="", made_at=other.made_at or now))
