"""Images unpacked for jobs, each in a folder of the job's own that goes when its LUN is verified."""

from bootd.darkstore.source import Unpacked
from bootd.darkstore.unpack import places
from bootd.darkstore.unpack import unpack as unpacker
from bootd.darkstore.unpack.order import Progress
from bootd.model import DiskImage, Job
from bootd.services import jobs
from bootd.workers.work import Work


def unpack(work: Work, image: DiskImage, lun_size: int, progress: Progress) -> Unpacked:
    """Have the disk that *image* is for this job; raises as `bootd.darkstore.unpack.unpack.unpack` does."""
    sweep(work)
    context = work.context
    return unpacker.unpack(context.tree, image, lun_size, context.scratch, _name(work), progress)


def found(work: Work) -> Unpacked | None:
    """Return what was unpacked for this job."""
    return places.finished(work.context.scratch / _name(work))


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
