"""The two servers of the lab: the site's DHCP, which knows nothing of booting, and bootd itself."""

import os
import sys
import time
from pathlib import Path

from bootd.lab import needs, network
from bootd.lab.errors import LabError
from bootd.lab.process import Process

START_S = 30.0
_READY = "service.started"  # the event bootd logs once it answers


def site_config(folder: Path, *, has_dhcp: bool = True) -> str:
    """Return dnsmasq's configuration for the site; without DHCP it is a router that advertises itself.

    no-ping: it would try each address for 3 s before the first offer.
    enable-ra: iPXE waits 16 s for a router advertisement in each of its stages.
    """
    first, last = network.RANGE
    addresses = f"dhcp-range={first},{last},255.255.255.0,10m\n" if has_dhcp else ""
    return f"""\
port=0
interface=eth0
bind-interfaces
{addresses}dhcp-option=3
dhcp-authoritative
no-ping
enable-ra
dhcp-range=fd99::,ra-only,64,10m
dhcp-leasefile={folder / "site.leases"}
log-dhcp
log-facility=-
user=root
"""


def site_command(config: Path) -> list[str]:
    return ["dnsmasq", "--keep-in-foreground", f"--conf-file={config}"]


def bootd_config(folder: Path, extra: str = "") -> str:
    """Return the lab's bootd.toml; *extra* is TOML that is put behind it."""
    return f"""\
# The lab's own configuration; its bootd lives in a network namespace with one interface, eth0.
[server]
interfaces = ["eth0"]
data_dir = "{folder / "data"}"
user = ""
log_level = "debug"
{extra}"""


def bootd_command(config: Path, *arguments: str) -> list[str]:
    """Return the real command line, as a user would type it, on this interpreter."""
    return [sys.executable, "-m", "bootd", "--config", str(config), *arguments]


def bootd_environment() -> dict[str, str]:
    """Return our environment, made sure that a child finds this same bootd from any folder."""
    source = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {
        **needs.environment(),
        "PYTHONPATH": f"{source}:{path}" if path else source,
        "PYTHONUNBUFFERED": "1",
    }


def wait_until_ready(process: Process, log: Path) -> None:
    """Return when bootd says that it answers; raises `LabError` with its last words otherwise."""
    until = time.monotonic() + START_S
    while _READY not in _read(log):
        if not process.alive:
            raise LabError(f"bootd did not start; it said:\n{_tail(log)}")
        if time.monotonic() > until:
            raise LabError(f"bootd was not ready after {START_S:.0f} s; it said:\n{_tail(log)}")
        time.sleep(0.05)


def wait_until_bound(process: Process, log: Path) -> None:
    """Return when the site's dnsmasq serves; it says so in its log."""
    until = time.monotonic() + START_S
    while "router advertisement on" not in _read(log):
        if not process.alive or time.monotonic() > until:
            raise LabError(f"the site's dnsmasq did not start; it said:\n{_tail(log)}")
        time.sleep(0.02)


def _read(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(_read(log).splitlines()[-lines:]) or "(nothing)"
