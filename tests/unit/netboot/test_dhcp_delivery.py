"""RFC 2131 section 4.1. Rows named P are those of the conformance list in README.md."""

import pytest

from netboot.dhcp.delivery import Broadcast, Relay, Unicast, reply_destination
from tests.helpers.dhcp import CLIENT, a_boot_server_packet, a_packet

NOBODY, SOMEBODY = ("0.0.0.0", 68), "10.99.0.174"


@pytest.mark.parametrize(
    ("fields", "source", "want"),
    [
        pytest.param({}, NOBODY, Broadcast(68), id="no-address-yet"),
        pytest.param({"flags": 0}, NOBODY, Broadcast(68), id="p36-without-broadcast-flag"),
        pytest.param(
            {"giaddr": b"\x0a\x01\0\x01"}, ("10.1.0.1", 67), Relay("10.1.0.1", 67), id="p32-relayed"
        ),
        pytest.param(
            {"giaddr": b"\x0a\x01\0\x01"}, ("10.2.0.1", 68), Relay("10.1.0.1", 67), id="p32-by-giaddr"
        ),
        pytest.param({"ciaddr": CLIENT}, (SOMEBODY, 68), Broadcast(68), id="an-offer-is-always-broadcast"),
    ],
)
def test_an_offer_goes_to_the_relay_or_to_everybody(fields, source, want):
    assert reply_destination(a_packet(**fields), kind="discover", source=source) == want


@pytest.mark.parametrize(
    ("fields", "source", "want"),
    [
        pytest.param({}, (SOMEBODY, 4011), Unicast(SOMEBODY, 4011), id="p12-edk2"),
        pytest.param({}, (SOMEBODY, 68), Unicast(SOMEBODY, 68), id="p13-ipxe"),
        pytest.param({"flags": 0x8000}, (SOMEBODY, 4011), Unicast(SOMEBODY, 4011), id="p14-flag-ignored"),
        pytest.param(
            {"giaddr": b"\x0a\x01\0\x01"}, (SOMEBODY, 68), Unicast(SOMEBODY, 68), id="giaddr-ignored"
        ),
        pytest.param({}, NOBODY, Unicast(SOMEBODY, 68), id="by-ciaddr"),
        pytest.param({"ciaddr": bytes(4)}, ("0.0.0.0", 4011), Broadcast(4011), id="no-address-at-all"),
    ],
)
def test_a_boot_server_answers_where_the_request_came_from(fields, source, want):
    assert reply_destination(a_boot_server_packet(**fields), kind="boot-server", source=source) == want
