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
    LunsNotRestored,
    LunUnreachable,
    Progress,
    Session,
    Volume,
)
from bootd.drivers.lun.brokered import Broker, Way, direct
from bootd.drivers.lun.names import volume_name
from bootd.drivers.lun.ontap_rest import OntapSite
from bootd.drivers.lun.table import DRIVERS, Options, open_backend

__all__ = [
    "DRIVERS",
    "Broker",
    "Chap",
    "Export",
    "LunBackend",
    "LunBusy",
    "LunError",
    "LunFull",
    "LunMissing",
    "LunRefused",
    "LunUnreachable",
    "LunsNotRestored",
    "OntapSite",
    "Options",
    "Progress",
    "Session",
    "Volume",
    "Way",
    "direct",
    "open_backend",
    "volume_name",
]
