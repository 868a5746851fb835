"""The desk: who is given the secret of a LUN, and which program of ours starts a slot."""

from dataclasses import replace

import pytest

from bootd.boot.attempt import Attempts
from bootd.boot.clients import Clients
from bootd.boot.decide import BootDecision, BootLun
from bootd.boot.desk import Answered, ScriptDesk
from bootd.boot.files import FileTable, Served
from bootd.boot.places import Chap
from bootd.boot.render import Renderer
from bootd.boot.token import Tokens
from bootd.model import LunClone
from netboot.arch import BY_NAME
from netboot.request import BootRequest, Stage
from tests.helpers.places import CLONE, a_slot_place
from tests.helpers.scripts import MAC, NODE, NOON, a_lun_boot, a_slot_boot

BASE = "http://10.0.0.2:8080"
RENDERER = Renderer()
SECRET = "oneSecretForOneClone"
STRANGER = "52:54:00:99:99:99"


def a_desk(decision: BootDecision, *, arp: dict[str, str] | None = None, files: tuple[str, ...] = ()):
    def chap(clone: LunClone) -> Chap:
        assert clone is CLONE
        return Chap(clone.chap_user, SECRET)

    secret = b"s" * 32
    return ScriptDesk(
        decide=lambda request, /, *, waited: decision,
        renderer=RENDERER,
        lookup=FileTable({name: Served(name, f"/x/{name}", 1, 0) for name in files}).lookup,
        attempts=Attempts(secret),
        tokens=Tokens(secret),
        clients=Clients((arp or {}).get),
        loader_for=lambda arch: "undionly.kpxe",
        chap=chap,
    )


def asked(desk: ScriptDesk, client: str = "10.0.0.17", dialect: str = "ipxe") -> Answered:
    question = BootRequest(MAC, BY_NAME["x86-bios"], Stage.IPXE, NOON, http=True)
    return desk.script(question, dialect, BASE, client=client)


@pytest.mark.parametrize("dialect", ["ipxe", "gpxe"])
def test_machine_itself_is_given_the_secret_of_its_lun(dialect):
    answered = asked(a_desk(a_lun_boot(), arp={"10.0.0.44": MAC}), "10.0.0.44", dialect)
    assert f"set password {SECRET}\n" in answered.script.text
    assert answered.script.answer == "lun:rack mesh/debian@2"


@pytest.mark.parametrize("dialect", ["ipxe", "gpxe", "grub", "pxelinux"])
@pytest.mark.parametrize(
    ("arp", "client"),
    [
        ({"10.0.0.9": STRANGER}, "10.0.0.9"),
        ({"10.0.0.17": STRANGER}, "10.0.0.17"),  # has taken the address of node1
        ({}, "10.0.0.9"),
    ],
    ids=["another-machine", "another-machine-at-its-address", "nobody-knows-who"],
)
def test_anybody_else_is_told_why_not(arp, client, dialect):
    answered = asked(a_desk(a_lun_boot(), arp=arp), client, dialect)
    assert SECRET not in answered.script.text
    assert CLONE.initiator not in answered.script.text
    assert answered.decision.rule == "not-this-machine"
    assert answered.script.answer.startswith(f"diagnose: this script was asked for from {client}, ")


def test_forged_dhcp_packet_gets_nobody_a_secret():
    desk = a_desk(a_lun_boot(), arp={"10.0.0.9": STRANGER})
    for address in ("10.0.0.9", "10.0.0.10"):  # as a stranger would have it heard of himself
        desk.clients.heard_address(MAC, address)
        assert SECRET not in asked(desk, address).script.text


def test_behind_a_router_the_address_in_the_host_table_must_do():
    assert SECRET in asked(a_desk(a_lun_boot()), NODE.ip).script.text


def test_host_without_an_address_is_not_taken_for_everybody():
    nameless = a_lun_boot(host=replace(NODE, ip=None))
    assert SECRET not in asked(a_desk(nameless), "").script.text


def test_event_of_a_script_with_a_secret_does_not_hold_it():
    answered = asked(a_desk(a_lun_boot(), arp={"10.0.0.17": MAC}))
    event = answered.event(client="10.0.0.17", dialect="ipxe", octets=1)
    assert SECRET not in repr(event) + repr(answered)
    assert (event.rule, event.answer, event.override) == ("reserved", "lun:rack mesh/debian@2", None)


def test_site_whose_targets_ask_for_nothing_sets_no_password():
    desk = replace(a_desk(a_lun_boot(), arp={"10.0.0.17": MAC}), chap=None)
    assert "set password" not in asked(desk).script.text
    assert isinstance(asked(desk).decision, BootLun)


def test_slot_is_started_by_the_programs_that_are_there():
    desk = a_desk(a_slot_boot(), files=("loaders/slot7-hd0-pc.0",))
    text = asked(desk).script.text
    assert f"{BASE}/files/loaders/slot7-hd0-pc.0" in text
    assert "x64.efi ||" not in text.replace("localboot-x64.efi", "")


def test_program_for_another_disk_is_not_taken():
    decision = a_slot_boot(place=a_slot_place(device="/dev/sdb7"))
    text = asked(a_desk(decision, files=("loaders/slot7-hd0-pc.0", "loaders/slot7-hd1-x64.efi"))).script.text
    assert "slot7-hd1-x64.efi" in text
    assert "slot7-hd0" not in text
