"""A LUN named by DHCP: the root path, the machine's iSCSI name, and where the secret goes."""

import pytest

from netboot.dhcp.options import INITIATOR_NAME, IPXE, ROOT_PATH, decode_options
from netboot.dhcp.san import SanAnswer, no_other_offers, san_part
from netboot.errors import LocalError

PATH = "iscsi:10.0.0.5:6:3261:3:iqn.2026-01.x:lun:a"
ANSWER = SanAnswer(PATH, "iqn.2026-01.x:node1", "node1-a", "topsecret-16oct.")


def test_d28_d29_root_path_and_initiator_are_told_and_no_file():
    part = san_part(ANSWER, is_final=True)
    assert (part.options[ROOT_PATH], part.options[INITIATOR_NAME]) == (PATH.encode(), b"iqn.2026-01.x:node1")
    assert (part.file, part.sname, part.siaddr) == (b"", b"", bytes(4))


def test_no_option_60_is_sent_for_ipxe_would_then_ask_for_a_boot_file():
    assert {43, 60, 66, 67}.isdisjoint(san_part(ANSWER, is_final=True).options)


def test_login_is_in_the_last_reply_alone():
    offered, acked = (
        decode_options(san_part(ANSWER, is_final=final).options[IPXE]) for final in (False, True)
    )
    assert offered == {0xB0: b"\x01"}
    assert acked == {0xB0: b"\x01", 0xBE: b"node1-a", 0xBF: b"topsecret-16oct."}


def test_target_without_a_login_is_named_without_one():
    part = san_part(SanAnswer(PATH, "iqn.2026-01.x:node1"), is_final=True)
    assert decode_options(part.options[IPXE]) == {0xB0: b"\x01"}


def test_d28_wait_for_a_proxy_is_spared_by_a_sub_option_of_175():
    assert no_other_offers() == {IPXE: b"\xb0\x01\x01\xff"}


@pytest.mark.parametrize("secret", ["", "with blank", "nul\0", "ümlaut", "x" * 256])
def test_secret_that_dhcp_cannot_carry_is_refused_and_not_shown(secret):
    with pytest.raises(LocalError) as caught:
        san_part(SanAnswer(PATH, "iqn.2026-01.x:node1", "node1-a", secret), is_final=True)
    assert not secret or secret not in str(caught.value)
    assert "secret of a LUN" in str(caught.value)


def test_secret_is_not_in_what_is_logged_of_an_answer():
    assert "topsecret" not in repr(ANSWER)
