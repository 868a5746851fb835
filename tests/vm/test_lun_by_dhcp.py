"""A root node boots its LUN by what DHCP tells it, without a script: bootd, tgtd with CHAP, iPXE."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from bootd.clock import utc_now
from bootd.drivers.lun import Chap as Login
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from bootd.lab import Kind, Lab
from bootd.lab.network import BOOT_ADDRESS, inside
from bootd.model import Booked, LunClone, Role
from bootd.outfit import chap_of
from bootd.store import open_store
from tests.helpers.deeds import IMAGE, a_clone, a_deployment, a_node, a_project, a_reservation, keep
from tests.helpers.lab import PATIENCE_S, lab_name, plug_in, steps, wait_for_step
from tests.helpers.slotted import boot_sector, efi_slotted_disk
from tests.helpers.tgtd import private_tgtd

pytestmark = pytest.mark.vm

MARKER = "LUN-STARTED"
CONFIG = """\
[dhcp]
mode = "authoritative"
[dhcp.subnets.lab]
network = "10.99.0.0/24"
"""
PORTAL = f"{BOOT_ADDRESS}:3260"
NODES = {"bios": (Kind.BIOS, "10.99.0.11"), "uefi": (Kind.UEFI, "10.99.0.12")}


def export(luns: TgtLuns, store_url: str, node: str, image: bytes) -> LunClone:
    """Write *image*, clone it for *node*, export that with the login that bootd derives."""
    plain = a_clone(node, portals=(PORTAL,))
    base = f"roots-{node}"
    luns.create(base, 64 << 20)
    luns.write(base, BytesSource(image))
    luns.clone(base, plain.volume)
    with open_store(store_url, clock=utc_now) as store:
        chap = chap_of(store)(plain)
    made = luns.export(plain.volume, plain.initiator, Login(chap.user, chap.secret))
    return a_clone(node, portals=(PORTAL,), target=made.target, lun=made.lun, initiator=made.initiator)


def book(store_url: str, *clones: LunClone) -> None:
    """Write down what the calendar would have: a booking under way whose nodes boot *clones*."""
    now, names = utc_now(), tuple(sorted(clone.node for clone in clones))
    times = {"starts_at": now - timedelta(minutes=1), "ends_at": now + timedelta(hours=1), "created_at": now}
    booked = a_reservation(nodes=names, images=(Booked(Role.ROOT, IMAGE),), **times)
    flipped = {"state": "lun-ready", "flipped_at": now, "slot": None, "group": "roots", "side": 0}
    deployment = a_deployment(role=Role.ROOT, nodes=names, created_at=now, **flipped)
    nodes = [a_node(clone.node, device="", volume=clone.volume, changed_at=now) for clone in clones]
    with open_store(store_url, clock=utc_now) as store:
        keep(store, a_project(), booked, deployment, *nodes, *clones)


@pytest.fixture(scope="module")
def booting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Power both on together; each test waits for its own."""
    folder: Path = tmp_path_factory.mktemp("lun")
    images = {
        "bios": boot_sector(folder, MARKER),
        "uefi": efi_slotted_disk(folder / "disk", MARKER, program={}, menu="WRONG").read_bytes(),
    }
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(lab_name("lun")).up(config_extra=CONFIG, site_dhcp=False))
        for name, (kind, address) in NODES.items():
            plug_in(lab, name, kind, lun="dhcp")
            lab.bootd("hosts", "set", name, "--ip", address, "--role", "root")
        tgtd = stack.enter_context(private_tgtd(portal=PORTAL, inside=inside(lab.network.boot, [])))
        luns = TgtLuns(Tools(folder / "luns"), socket=tgtd.socket)
        store_url = f"sqlite:///{lab.data_dir}/bootd.db"
        book(store_url, *(export(luns, store_url, node, image) for node, image in images.items()))
        for name in NODES:
            lab.power_on(name)
        yield lab


@pytest.mark.parametrize("name", NODES)
def test_machine_boots_its_lun_without_a_script(booting: Lab, name: str) -> None:
    booting.wait_for(name, MARKER, PATIENCE_S)
    wait_for_step(booting, name, "http.script_sent")
    given = [row["text"] for row in steps(booting, name).of("http.script_sent")]
    assert set(given) == {f"fetched its LUN by DHCP: lun:roots {IMAGE}"}
    assert not steps(booting, name).of("http.file_sent")


def test_secret_of_a_lun_is_in_no_log_and_on_no_screen(booting: Lab) -> None:
    for name in NODES:
        booting.wait_for(name, MARKER, PATIENCE_S)
    with open_store(f"sqlite:///{booting.data_dir}/bootd.db", clock=utc_now) as store:
        secrets = [chap_of(store)(a_clone(name)).secret for name in NODES]
    said = booting.log("bootd").read_text()
    said += "".join(booting.places(name).console_log.read_text(errors="replace") for name in NODES)
    assert [secret for secret in secrets if secret in said] == []
