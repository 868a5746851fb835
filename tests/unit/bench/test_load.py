"""What the load consists of: questions the codec reads, spread over the table."""

from netboot.dhcp.packet import decode_packet
from tests.bench.boot import script
from tests.bench.load import boot_server_question, questions
from tests.bench.sanboot import script as sanboot_script
from tests.helpers.dhcp import asked
from tests.helpers.site import a_host


def test_questions_ask_for_every_host_once_before_any_twice():
    macs = [decode_packet(data).mac for data in questions(100, 100)]
    assert set(macs) == {a_host(n).mac for n in range(1, 101)}


def test_each_question_has_an_xid_of_its_own_and_is_a_boot_question():
    packets = [decode_packet(data) for data in questions(10, 64, strangers=31)]
    assert len({packet.xid for packet in packets}) == len(packets) == 64 * 32
    assert {asked(packet).request.arch.name for packet in packets} == {"x86-bios"}


def test_after_the_strangers_comes_a_machine_of_the_table():
    macs = [decode_packet(data).mac for data in questions(1, 2, strangers=3)]
    assert [mac == a_host(1).mac for mac in macs] == [False, False, False, True] * 2
    assert len(set(macs)) == 7


def test_boot_server_question_is_one_for_port_4011():
    question = asked(decode_packet(boot_server_question(a_host(5).mac)), port=4011)
    assert question.request.mac == a_host(5).mac


def test_peer_script_guards_the_chain_as_ours_does():
    assert "undionly" not in script("quiet", chains=False)
    chained = script("quiet", chains=True).splitlines()
    assert chained.index(":ours") < chained.index("boot")
    assert "iseq ${netX/chip} undionly && goto ours ||" in chained


def test_rivals_script_for_a_lun_does_what_ours_does():
    lines = sanboot_script("iqn.x:n1", "user", "iqn.y:vol").splitlines()
    assert lines[:3] == ["#!ipxe", "set initiator-iqn iqn.x:n1", "set username user"]
    assert lines[-2:] == [
        "sanboot iscsi:10.99.0.2::3260:1:iqn.y:vol ||",
        "sanboot iscsi:10.99.0.2::3261:1:iqn.y:vol ||",
    ]
