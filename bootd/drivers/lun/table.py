"""LUN backends by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bootd.drivers.lun.base import LunBackend, LunRefused
from bootd.drivers.lun.brokered import Way, direct
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.lun.lio import LioLuns
from bootd.drivers.lun.ontap import OntapLuns
from bootd.drivers.lun.ontap_rest import OntapSite
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.tools import Tools


@dataclass(frozen=True, slots=True)
class Options:
    """What a site says of its target; a backend takes what concerns it."""

    portals: tuple[str, ...] = ()  # "address:port" that machines are told; empty: what the target says
    control_port: int = 0  # which tgtd
    way: Way = direct  # how tgtd is reached
    ontap: OntapSite | None = None


def _tgt(tools: Tools, options: Options) -> LunBackend:
    return TgtLuns(tools, portals=options.portals, control_port=options.control_port, way=options.way)


def _lio(tools: Tools, options: Options) -> LunBackend:
    return LioLuns(tools, portals=options.portals)


def _ontap(tools: Tools, options: Options) -> LunBackend:
    return OntapLuns(tools, options.ontap or OntapSite(), portals=options.portals)


DRIVERS: Mapping[str, Callable[[Tools, Options], LunBackend]] = MappingProxyType(
    {"fake": lambda tools, _: FakeLuns(tools), "lio": _lio, "ontap": _ontap, "tgt": _tgt}
)


def open_backend(name: str, tools: Tools, options: Options | None = None) -> LunBackend:
    """Return the backend *name*; raises `LunRefused` with the ones there are."""
    if name not in DRIVERS:
        raise LunRefused("", f"no LUN backend {name!r}; there are: {', '.join(sorted(DRIVERS))}")
    return DRIVERS[name](tools, options or Options())
