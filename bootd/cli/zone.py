"""The zone in which this machine's people read clocks."""

import os
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

_LOCALTIME = Path("/etc/localtime")


def server_zone(localtime: Path = _LOCALTIME) -> tzinfo:
    """Return the zone of TZ, else that of this machine; UTC where neither says."""
    from bootd.formats.instants import find_zone

    if name := os.environ.get("TZ", "").removeprefix(":"):
        return find_zone(name, "TZ")
    _, found, name = str(localtime.resolve()).partition("/zoneinfo/")
    if found:
        return find_zone(name, str(localtime))
    if localtime.is_file():  # a copy of a zone's file tells its rules and not its name
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key=datetime.now(UTC).astimezone().tzname())
    return UTC
