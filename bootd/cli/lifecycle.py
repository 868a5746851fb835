"""What ``bootd status`` says of reservations, their images, and jobs."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from bootd.boot.forecast import word
from bootd.formats.instants import show_instant
from bootd.model import Deployment, Job, Reservation
from bootd.services import nodeset
from bootd.services.deployments import node_states
from bootd.services.jobs import OPEN
from bootd.store import Reads

_AHEAD = timedelta(days=7)  # bookings that begin later are not told
_NEXT = 5  # of those
_LATELY = timedelta(days=1)
_FAILED = ("failed", "partly")


def report(reads: Reads, now: datetime) -> dict[str, Any]:
    """Return what runs, what comes next, what is being done, and what went wrong lately."""
    ahead = reads.reservations_in(("booked",), starts_before=now + _AHEAD)
    lately = (
        job
        for job in reads.jobs(states=_FAILED, limit=100)
        if job.ended_at is not None and job.ended_at > now - _LATELY
    )
    return {
        "active": [_reservation(reads, each) for each in reads.reservations_in(("active",))],
        "next": [_reservation(reads, each) for each in ahead[:_NEXT]],
        "jobs": [_job(job) for job in reads.jobs(states=OPEN)],
        "failed": [_job(job) for job in lately],
    }


def _reservation(reads: Reads, each: Reservation) -> dict[str, Any]:
    return {
        "reservation": each.id,
        "project": each.project,
        "starts_at": each.starts_at,
        "ends_at": each.ends_at,
        "nodes": nodeset.fold(each.nodes),
        "images": [_image(reads, deployment) for deployment in reads.deployments_of(each.id)],
    }


def _image(reads: Reads, deployment: Deployment) -> dict[str, Any]:
    states = node_states(reads, deployment)
    return {
        "image": str(deployment.image),
        "role": str(deployment.role),
        "state": deployment.state,
        "word": _word(deployment),
        "nodes": {state: nodeset.fold(node.node for node in nodes) for state, nodes in states.items()},
        "note": deployment.note,
    }


def _word(deployment: Deployment) -> str:
    """Return READY for an image that its nodes boot now and do not all run yet."""
    is_ready = deployment.state in ("lun-ready", "hd-ready") and deployment.flipped_at is not None
    return "READY" if is_ready else word(deployment)


def _job(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "kind": str(job.kind),
        "reservation": job.reservation,
        "state": job.state,
        "step": job.step,
        "note": job.note,
        "nodes": nodeset.fold(job.nodes),
        "ended_at": job.ended_at,
    }


def told(report: Mapping[str, Any], zone: tzinfo) -> Iterator[tuple[str, str]]:
    """Yield the rows of *report* for people: a title and a line."""
    for each in report["active"]:
        yield "active", _line(each, f"until {show_instant(each['ends_at'], zone)}")
    for each in report["next"]:
        yield "next", _line(each, f"at {show_instant(each['starts_at'], zone)}")
    for each in report["jobs"]:
        yield "job", _job_line(each)
    for each in report["failed"]:
        yield each["state"], f"{_job_line(each)}: bootd jobs show {each['job']}"


def _line(each: Mapping[str, Any], when: str) -> str:
    words = [f"reservation {each['reservation']} of {each['project']}", when, each["nodes"]]
    return "  ".join([*words, *map(_image_text, each["images"])])


def _image_text(image: Mapping[str, Any]) -> str:
    amiss = image["nodes"].get("failed")
    rest = [f"failed on {amiss}"] if amiss else []
    return ", ".join([f"{image['image']} {image['word']}", *rest])


def _job_line(each: Mapping[str, Any]) -> str:
    whose = "" if each["reservation"] is None else f" for reservation {each['reservation']}"
    step = f": {each['step']}" if each["state"] == "running" and each["step"] else ""
    note = f" ({each['note']})" if each["note"] else ""
    return f"{each['job']} {each['kind']}{whose}, {each['state']}{step}{note}"
