"""What `make demo` runs: both machines go the whole way, each step is shown, nothing is left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from bootd.lab import Lab, servers
from tests.helpers.lab import lab_name

pytestmark = pytest.mark.vm

CHAIN = (
    "was offered",  # ProxyDHCP
    "by TFTP",
    "fetched its ipxe script: memory:hello",
    "fetched vmlinuz",
    "fetched initrd.gz",
    "console: BOOTD-READY",
    "reported running",
)


def test_the_demonstration_shows_both_machines_from_power_on_to_their_report() -> None:
    lab = Lab(lab_name("demo"))
    done = subprocess.run(
        [sys.executable, "-m", "bootd", "lab", "demo", "--name", lab.name],
        env=servers.bootd_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for node in ("bios1", "uefi1"):
        own = [line for line in lines if f" s  {node}  " in line]
        assert [part for part in CHAIN if not any(part in line for line in own)] == []
        (row,) = [line for line in lines if node in line and "│" in line]
        assert "yes" in row
    assert "To try next:" in done.stdout
    assert not lab.run.path.exists()
    assert not any((Path("/run/netns") / name).exists() for name in lab.network.namespaces)
