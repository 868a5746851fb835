"""Names of configuration files that loaders try by TFTP, and the machine each of them means.

PXELINUX asks for ``pxelinux.cfg/<uuid>`` and ``pxelinux.cfg/01-aa-bb-…`` (pxelinux.txt), GRUB for
``grub.cfg-01-aa-bb-…`` by its code and ``grub.cfg-aa-bb-…`` by its manual, both below the folder they
were loaded from. ``boot/aa-bb-….ipxe`` is our own, for an iPXE that cannot fetch by HTTP.
"""

import re
from dataclasses import dataclass

from netboot.hwaddr import parse_guid, parse_mac
from netboot.request import Stage

_MAC = r"(?P<mac>[0-9a-f]{2}(?:-[0-9a-f]{2}){5})"
_UUID = r"(?P<guid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_PATTERNS = (
    (re.compile(rf"boot/{_MAC}\.(?P<dialect>ipxe|gpxe|grub|pxelinux)\Z"), ""),
    (re.compile(rf"(?:.*/)?pxelinux\.cfg/(?:01-{_MAC}|{_UUID})\Z"), "pxelinux"),
    (re.compile(rf"(?:.*/)?grub\.cfg-(?:(?:01-)?{_MAC}|{_UUID})\Z"), "grub"),
)
_STAGES = {"ipxe": Stage.IPXE, "gpxe": Stage.GPXE}


@dataclass(frozen=True, slots=True)
class ScriptName:
    """Whose script is wanted, in which language."""

    dialect: str
    mac: str = ""  # canonical text; "" where the UUID is named
    guid: str | None = None  # as printed: wire order or canonical, the host is found under both

    @property
    def stage(self) -> Stage:
        return _STAGES.get(self.dialect, Stage.LOADER)


def parse_script_name(name: str) -> ScriptName | None:
    """Return the script *name* (relative, as TFTP says it) means; None where it is a plain file's."""
    folded = name.lower()
    for pattern, dialect in _PATTERNS:
        match = pattern.match(folded)
        if match is not None:
            found = match.groupdict()
            mac, guid = found.get("mac"), found.get("guid")
            return ScriptName(
                dialect or found["dialect"],
                parse_mac(mac) if mac else "",
                parse_guid(guid) if guid else None,
            )
    return None
