"""Images unpacked for jobs, each in a folder of the job's own that goes when they are written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.source import NotForLun, Unpacked
from bootd.darkstore.unpack import packing, places
from bootd.darkstore.unpack import unpack as unpacker
from bootd.darkstore.unpack.errors import MissingTool, ToolFailed
from bootd.darkstore.unpack.order import Progress
from bootd.errors import BootdError
from bootd.lifecycle import DISK_IMAGE
from bootd.model import DiskImage, Job, JobPart
from bootd.services import images, jobs
from bootd.services.images import Verdict
from bootd.services.tasks import SENT
from bootd.workers.work import GivenUp, Work


class Unavailable(BootdError):
    """The image cannot be reached just now."""

    code = "image-unavailable"


def unpack(work: Work, image: DiskImage, lun_size: int, progress: Progress) -> Unpacked:
    """Have the disk that *image* is for this job; raises as `bootd.darkstore.unpack.unpack.unpack` does."""
    sweep(work)
    context = work.context
    return unpacker.unpack(context.tree, image, lun_size, context.scratch, _name(work), progress)


def found(work: Work) -> Unpacked | None:
    """Return what was unpacked for this job."""
    return places.finished(work.context.scratch / _name(work))


def packed(work: Work) -> Unpacked | None:
    """Return what is sent in place of the image; None where that is the image, or it is gone."""
    sent = work.fact(SENT)
    if sent is None:
        return None
    return packing.packed(work.context.scratch, _name(work), int(sent["size"]), str(sent["sha256"]))


def pack(work: Work, start: int, size: int, progress: Progress) -> Unpacked:
    """Have a part of the unpacked disk made small, in its place; raises as `packing.pack` does."""
    return packing.pack(work.context.scratch, _name(work), start, size, lambda: progress(0))


def discard(work: Work) -> None:
    """Remove what was unpacked for this job."""
    places.discard(work.context.scratch, _name(work))


def sweep(work: Work) -> None:
    """Remove what jobs that are over have left, their worker killed before it could."""

    def is_needed(name: str) -> bool:
        number = name.removeprefix("job-")
        job = work.store.find(Job, int(number)) if number.isascii() and number.isdecimal() else None
        return job is not None and job.state in jobs.OPEN

    places.sweep(work.context.scratch, is_needed)


def _name(work: Work) -> str:
    return f"job-{work.job.id}"


@contextmanager
def said(work: Work, image: DiskImage) -> Iterator[None]:
    """Say what is wrong with *image*, for good or just now."""
    try:
        yield
    except DarkStoreAway as error:
        raise Unavailable(f"image {image.ref} is unavailable: {error}") from error
    except (NotForLun, MissingTool) as error:
        raise GivenUp(str(error)) from error
    except ToolFailed as error:
        if error.status < 0:  # somebody else ended it
            raise
        raise GivenUp(f"image {image.ref}: {error}") from error
    except BadImage as error:
        raise damaged(work, image, [mistake.message for mistake in error.mistakes]) from error


def damaged(work: Work, image: DiskImage, problems: Sequence[str]) -> GivenUp:
    """Note that the image is damaged; return what ends the job."""
    with work.commit() as change:
        found = change.find(DiskImage, str(image.ref))
        if found is not None and "fail-verification" in DISK_IMAGE.events(found.state):
            change.keep(images.moved_by(found, Verdict(found, tuple(problems)), work.context.clock))
    return GivenUp(f"image {image.ref} is damaged: {'; '.join(problems)}")


class Shown:
    """Progress that people see; it renews the lease, and raises `LeaseLost`."""

    def __init__(self, work: Work, step: str, size: int) -> None:
        self._work, self._began_at = work, work.now
        self._part = JobPart(work.job.id, "", step=step, since=self._began_at, size=size)

    def __call__(self, octets: int) -> None:
        seconds = (self._work.now - self._began_at).total_seconds()
        rate = int(octets / seconds) if seconds > 0 else 0
        self._part = replace(self._part, octets=octets, rate=rate)
        self._work.show(self._part)

    def done(self) -> JobPart:
        return replace(self._part, octets=self._part.size)
