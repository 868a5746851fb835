"""The records bootd keeps about a site, as plain values."""

from bootd.model.images import DiskImage, ImageKind, ImagePart, ImageRef, parse_image_ref
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
from bootd.model.projects import Limits, Project
from bootd.model.reservations import Booked, Reservation

__all__ = [
    "SETTING_VALUES",
    "Assignment",
    "Booked",
    "DiskImage",
    "Host",
    "ImageFile",
    "ImageKind",
    "ImagePart",
    "ImageRef",
    "Limits",
    "MemoryImage",
    "Observation",
    "Override",
    "Project",
    "Reservation",
    "Role",
    "Sighting",
    "Target",
    "TargetKind",
    "check_device",
    "check_name",
    "check_setting",
    "parse_image_ref",
    "parse_target",
]
