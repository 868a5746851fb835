"""The errand of a WRITE_SLOT job: which image goes to which slot, of which nodes, by which steps."""

from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.source import open_folder, open_unpacked
from bootd.drivers.source import ByteSource
from bootd.model import Deployment, DiskImage, JobPart, Outcome
from bootd.services.booking import LIVE
from bootd.services.jobs import HELD
from bootd.services.payload import UNPACKED
from bootd.store import Reads
from bootd.workers import unpacking
from bootd.workers.start import reservation_of
from bootd.workers.unpacking import Unavailable
from bootd.workers.work import GivenUp, Work

COMPARE = "compare"  # of images whose digests nobody knows yet
TURN = "turn"  # nodes that are free have their turn; the others wait for theirs
UNPACK = "unpack"  # before the nodes are called, of images that are not sent as they are
SWITCH, SEND, WATCH, VERIFY, CLOSE = "switch", "send", "watch", "verify", "close"  # after they are
PLACED = ("hd-ready", "run")  # states of a deployment whose nodes boot it already, but for some
_UNBEGUN = ("", HELD)  # steps of a node whose slot is not touched yet


def deployment_of(work: Work) -> Deployment:
    found = work.store.find(Deployment, work.job.deployment or 0)
    if found is None or found.slot is None:
        raise GivenUp("there is no such deployment to a slot")
    if found.state not in ("sched", "deploy-hd", *PLACED):
        raise GivenUp(f"the deployment is {found.state}")
    reservation = reservation_of(work.store, work)
    if reservation.state not in LIVE:
        raise GivenUp(f"reservation {reservation.id} is {reservation.state}")
    return found


def image_of(work: Work) -> DiskImage:
    ref = str(deployment_of(work).image)
    image = work.store.find(DiskImage, ref)
    if image is None or image.state in ("damaged", "retired"):
        raise GivenUp(f"image {ref} is {'gone' if image is None else image.state}")
    return image


def source_of(work: Work, image: DiskImage) -> ByteSource:
    """Return what is sent: the image's folder, or what it was unpacked to for this job."""
    if (packed := unpacking.packed(work)) is not None:
        return open_unpacked(packed, UNPACKED)
    try:
        return open_folder(work.context.tree, image)
    except DarkStoreAway as error:
        raise Unavailable(f"image {image.ref} is unavailable: {error}") from error
    except BadImage as error:
        raise GivenUp(f"image {image.ref} is damaged: {error}") from error


def kept(reads: Reads, work: Work) -> Deployment:
    found = reads.find(Deployment, work.job.deployment or 0)
    if found is None:
        raise GivenUp("its deployment is gone")
    return found


def is_unbegun(part: JobPart) -> bool:
    """Tell whether the slot of the node is as it was before the job."""
    return part.step in _UNBEGUN


def at_work(work: Work) -> list[str]:
    """Return the nodes whose turn it is: they are called, get the image, and say what they wrote."""
    return [node for node in work.nodes(Outcome.OPEN) if not is_unbegun(work.part(node))]


def waiting(work: Work) -> list[str]:
    """Return the nodes whose turn comes when they are free."""
    return [node for node in work.nodes(Outcome.OPEN) if is_unbegun(work.part(node))]


def after_session(work: Work) -> str:
    """Return the step with which the job goes on when a session has nothing more to do."""
    return TURN if waiting(work) else CLOSE
