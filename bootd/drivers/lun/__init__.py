"""LUN backends: volumes that machines boot from over iSCSI."""

from bootd.drivers.lun.base import (
    Chap,
    Export,
    LunBackend,
    LunBusy,
    LunError,
    LunFull,
    LunMissing,
    LunRefused,
    LunUnreachable,
    Progress,
    Session,
    Volume,
)
from bootd.drivers.lun.names import volume_name
from bootd.drivers.lun.table import DRIVERS, open_backend

__all__ = [
    "DRIVERS",
    "Chap",
    "Export",
    "LunBackend",
    "LunBusy",
    "LunError",
    "LunFull",
    "LunMissing",
    "LunRefused",
    "LunUnreachable",
    "Progress",
    "Session",
    "Volume",
    "open_backend",
    "volume_name",
]
