"""The records bootd keeps about a site, as plain values."""

from bootd.model.deployments import DeployedNode, Deployment
from bootd.model.feeds import CalendarFeed, PublishedCalendar
from bootd.model.images import DiskImage, ImageKind, ImagePart, ImageRef, parse_image_ref
from bootd.model.jobs import Job, JobKind, JobPart, Lease, Outcome
from bootd.model.machines import (
    SETTING_VALUES,
    Assignment,
    Host,
    ImageFile,
    MemoryImage,
    Observation,
    Override,
    Role,
    Sighting,
    Target,
    TargetKind,
    check_device,
    check_name,
    check_setting,
    parse_target,
)
from bootd.model.places import LunClone, LunPair, LunSide, Place, Schemes, Slot, SlotScheme
from bootd.model.projects import Limits, Project
from bootd.model.reservations import Booked, Reservation

__all__ = [
    "SETTING_VALUES",
    "Assignment",
    "Booked",
    "CalendarFeed",
    "DeployedNode",
    "Deployment",
    "DiskImage",
    "Host",
    "ImageFile",
    "ImageKind",
    "ImagePart",
    "ImageRef",
    "Job",
    "JobKind",
    "JobPart",
    "Lease",
    "Limits",
    "LunClone",
    "LunPair",
    "LunSide",
    "MemoryImage",
    "Observation",
    "Outcome",
    "Override",
    "Place",
    "Project",
    "PublishedCalendar",
    "Reservation",
    "Role",
    "Schemes",
    "Sighting",
    "Slot",
    "SlotScheme",
    "Target",
    "TargetKind",
    "check_device",
    "check_name",
    "check_setting",
    "parse_image_ref",
    "parse_target",
]
