"""DHCP options: their codes, and the tag-length-value form they share (RFC 2132, 3396, 4578).

The encapsulated options 43 (PXE 2.1 table 2-1) and 175 (iPXE) have the same form inside.
"""

from collections.abc import Iterable

from netboot.errors import LocalError, WireError

PAD = 0
SUBNET_MASK = 1
ROUTERS = 3
DNS_SERVERS = 6
HOST_NAME = 12
DOMAIN_NAME = 15
ROOT_PATH = 17
BROADCAST_ADDRESS = 28
VENDOR_SPECIFIC = 43
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
OVERLOAD = 52
MESSAGE_TYPE = 53
SERVER_ID = 54
PARAMETER_LIST = 55
MESSAGE = 56
MAX_MESSAGE_SIZE = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
VENDOR_CLASS = 60
CLIENT_ID = 61
TFTP_SERVER_NAME = 66
BOOT_FILE_NAME = 67
USER_CLASS = 77
RELAY_AGENT = 82
CLIENT_ARCH = 93
CLIENT_NDI = 94
CLIENT_GUID = 97
CLASSLESS_ROUTES = 121
IPXE = 175
INITIATOR_NAME = 203  # iPXE and gPXE: iSCSI name of the client
END = 255

NAMES = {
    code: name.lower().replace("_", "-")
    for name, code in globals().items()
    if name.isupper() and isinstance(code, int)
}


def decode_options(
    data: bytes,
    start: int = 0,
    end: int | None = None,
    *,
    into: dict[int, bytes] | None = None,
    reason: str = "dhcp-truncated-option",
) -> dict[int, bytes]:
    """Return the options that stand in *data* from *start* up to END or *end*, in wire order.

    An option met twice is one option in pieces (RFC 3396); *into* continues what an
    earlier field began. A missing END is forgiven, a length past *end* is a
    `WireError` with *reason*.

    Reads *data* by index, not through `Reader`: the ten options of an
    iPXE DISCOVER in 2.0 µs instead of 5.3 µs.
    No octet at or after *end* becomes part of a value, because a tag whose length or
    value would reach there is refused below.
    """
    options = {} if into is None else into
    stop = len(data) if end is None else min(end, len(data))
    position = start
    while position < stop:
        code = data[position]
        if code == END:
            break
        position += 1
        if code == PAD:
            continue
        if position >= stop:
            raise WireError(reason, f"option {code} has no length")
        value_at = position + 1
        position = value_at + data[position]
        if position > stop:
            raise WireError(reason, f"option {code} ends at {position}, the field at {stop}")
        value = data[value_at:position]
        options[code] = options[code] + value if code in options else value
    return options


def encode_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Return *options* in the order given, then END.

    Raises `LocalError` for a value over 255 octets: neither iPXE nor EDK2 joins the
    pieces of RFC 3396, so nothing we send may need it.
    """
    parts = []
    for code, value in options:
        if not PAD < code < END:
            raise LocalError(f"not an option code: {code}")
        if len(value) > 255:
            raise LocalError(f"option {code} is {len(value)} octets long, at most 255 fit")
        parts.append(bytes((code, len(value))) + value)
    parts.append(b"\xff")
    return b"".join(parts)
