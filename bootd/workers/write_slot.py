"""WRITE_SLOT: an image comes into one slot of many disks at once, by the nodes' own word.

The nodes are told to boot the imager once and are power-cycled; one session sends the image to
all of them; each says that what it wrote is right, or why not. Those that failed are called
a second time, then left out. No slot counts as ready before its node has said so.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from bootd.darkstore.unpack.errors import MissingTool
from bootd.drivers.errors import DriverError
from bootd.model import Deployment, DiskImage, JobKind, Outcome, Reservation
from bootd.services import images, nodeset
from bootd.services.booking import LIVE
from bootd.services.deployments import moved
from bootd.services.jobs import HELD, hasten
from bootd.services.payload import NotForSlot, payload_of
from bootd.store import Transaction
from bootd.workers import errand, gathering, hearing, rounds, slotimage, switching, turns, unpacking
from bootd.workers.errand import deployment_of, image_of, source_of
from bootd.workers.sessions import CALL, session_of
from bootd.workers.unpacking import Shown, Unavailable
from bootd.workers.work import ACTOR, GivenUp, Work

_STOP_TRIES = 3


class WriteSlot:
    """See `Handler`."""

    @property
    def steps(self) -> Mapping[str, Callable[[Work], None]]:
        return {
            "": _prepare,
            errand.COMPARE: _compare,
            errand.TURN: turns.turn,
            errand.UNPACK: slotimage.unpack,
            CALL: rounds.call,
            errand.SWITCH: rounds.switch,
            errand.SEND: rounds.send,
            errand.WATCH: rounds.watch,
            errand.VERIFY: hearing.verify,
            errand.CLOSE: _close,
        }

    def fail(self, work: Work, why: str) -> None:
        _stop(work)
        _close(work, why)

    def cancel(self, work: Work, who: str) -> None:
        _stop(work)
        _close(work, f"taken back by {who}", taken_back=True)


# -- what is written --------------------------------------------------------------------------


def _prepare(work: Work) -> None:
    """See that there is all that is needed; nothing is touched before."""
    deployment_of(work)
    image = image_of(work)
    if work.store.memory_image(work.context.settings.imager) is None:
        name = work.context.settings.imager
        raise GivenUp(f"there is no memory image {name!r} that writes slots: bootd memory add {name} …")
    work.context.transport()  # a site without one changes nothing
    source_of(work, image)
    try:
        payload_of(image)
        slotimage.check(image)
    except (NotForSlot, MissingTool) as error:
        raise GivenUp(str(error)) from error
    note = "" if _is_known(image) else f"image {image.ref} was never verified: it is read first"
    with work.commit(errand.TURN if _is_known(image) else errand.COMPARE, note=note):
        for node in work.nodes(Outcome.OPEN):
            work.note_parts(replace(work.part(node), step=HELD, since=None, note=""))


def _is_known(image: DiskImage) -> bool:
    """Tell whether there is something to compare with what nodes wrote."""
    return all(part.sha256 for part in image.parts)


def _compare(work: Work) -> None:
    """Read an image that was never verified, as ``bootd images verify`` does: nodes compare with that."""
    image = image_of(work)
    shown = Shown(work, errand.COMPARE, image.size)
    if not _is_known(image):
        [found] = images.verify(
            work.store,
            ACTOR,
            work.context.tree,
            [image],
            clock=work.context.clock,
            progress=lambda what, done, total: shown(done),
        )
        if found.away:
            raise Unavailable(f"image {image.ref} is unavailable: {'; '.join(found.problems)}")
        if found.problems:
            raise GivenUp(f"image {image.ref} is damaged: {'; '.join(found.problems)}")
    with work.commit(errand.TURN, note=""):
        work.note_parts(shown.done())


# -- the end ----------------------------------------------------------------------------------


def _close(work: Work, why: str = "", *, taken_back: bool = False) -> None:
    """End the job: slots that are not verified are damaged, orders that nobody used are gone."""
    left = work.nodes(Outcome.OPEN)
    event = "cancel" if taken_back else switching.verdict(work)
    said = why or _summary(work)
    is_lent = gathering.is_lent(work)
    with work.finish(event, said) as change:
        turns.take_orders_back(work, change)
        deployment = change.find(Deployment, work.job.deployment or 0)
        turns.leave_out(work, change, deployment, left, why)
        if deployment is not None:
            _settle(work, change, deployment, said, taken_back=taken_back)
            hasten(change, JobKind.START, deployment.reservation, now=work.now)
    if not is_lent:  # else guests have it sent still; it goes with what is unpacked next
        unpacking.discard(work)


def _settle(work: Work, change: Transaction, deployment: Deployment, why: str, *, taken_back: bool) -> None:
    """Move the deployment: with one node that has the image it is ready, with none it has failed."""
    reservation = change.find(Reservation, deployment.reservation)
    is_wanted = reservation is not None and reservation.state in LIVE
    if deployment.state == "deploy-hd":
        given_up = "abandon" if taken_back and not is_wanted else "fail"
        event = "written" if work.nodes(Outcome.OK) and is_wanted else given_up
        moved(change, deployment, event, note="" if event == "written" else why)
    elif deployment.state == "sched":
        moved(change, deployment, "remove" if taken_back and not is_wanted else "fail", note=why)


def _summary(work: Work) -> str:
    left_out = [node for node in work.job.nodes if work.part(node).outcome is not Outcome.OK]
    ready = len(work.job.nodes) - len(left_out)
    without = f", without {nodeset.fold(left_out)}" if left_out else ""
    whys = {work.part(node).note for node in left_out}
    why = f": {whys.pop()}" if not ready and len(whys) == 1 else ""
    return f"{ready} of {len(work.job.nodes)} nodes have the image{without}{why}"


def _stop(work: Work) -> None:
    """End the session; where the transport does not answer, it is found and ended as a stray later."""
    session = session_of(work.job)
    if session is None:
        return
    try:
        if gathering.sharers(work.store, work.job):
            for node in errand.at_work(work):
                work.context.transport().leave_out(session.id, node, "its job was taken back")
        else:
            work.context.transport().stop(session.id)
    except DriverError as error:
        if not error.is_permanent and int(work.fact("tries", 0)) < _STOP_TRIES:
            raise
    except GivenUp:
        return  # the site has no transport any more, so there is no session either
