"""LUN backends by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bootd.drivers.lun.base import LunBackend, LunRefused
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.tools import Tools

DRIVERS: Mapping[str, Callable[[Tools], LunBackend]] = MappingProxyType({"fake": FakeLuns, "tgt": TgtLuns})


def open_backend(name: str, tools: Tools) -> LunBackend:
    """Return the backend *name*; raises `LunRefused` with the ones there are."""
    if name not in DRIVERS:
        raise LunRefused("", f"no LUN backend {name!r}; there are: {', '.join(sorted(DRIVERS))}")
    return DRIVERS[name](tools)
