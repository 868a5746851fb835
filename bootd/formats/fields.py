"""The fields of a host as people write them: each checked here, whichever format or option brought it."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import TypeVar

from bootd.errors import BadText, BadValue, Mistake
from bootd.model import Host, Role, check_device, check_name, check_setting
from netboot.errors import LocalError
from netboot.hwaddr import parse_guid, parse_mac

T = TypeVar("T")
MAX_NUMBER = 65535
_DIGITS = re.compile(r"[0-9]{1,9}\Z")
# what a setting may not be called: the words that formats use for the fields
RESERVED = ("name", "mac", "ip", "number", "role", "local_boot", "local-boot", "group", "groups", "settings")


@dataclass(frozen=True, slots=True)
class Row:
    """A host as a text gave it, and the line where."""

    host: Host
    line: int


def host_name(text: str) -> str:
    """Return *text* if a host may be called so; one that reads as a MAC address would be mistaken for it."""
    check_name("host", text)
    try:
        parse_mac(text)
    except LocalError:
        return text
    raise BadValue("host name", text, "a name: it reads as a MAC address")


def hardware_address(text: str) -> str:
    """Return the canonical MAC address of one machine."""
    try:
        mac = parse_mac(text)
    except LocalError:
        raise BadValue("MAC address", text, "six octets such as 52:54:00:12:34:56") from None
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise BadValue("MAC address", text, "the address of one machine")
    return mac


def ip_address(text: str) -> str:
    """Return the IPv4 address of one machine, dotted."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        raise BadValue("IP address", text, "an IPv4 address such as 10.0.0.7") from None
    if address.is_unspecified or address.is_multicast or address.is_loopback or int(address) == 0xFFFFFFFF:
        raise BadValue("IP address", text, "an address that a machine can have")
    return str(address)


def node_number(text: str) -> int:
    if not _DIGITS.match(text) or not 1 <= int(text) <= MAX_NUMBER:
        raise BadValue("node number", text, f"a number from 1 to {MAX_NUMBER}")
    return int(text)


def role(text: str) -> Role:
    known = [str(value) for value in Role if value]
    if text not in (*known, "", "none"):
        raise BadValue("role", text, "one of " + ", ".join(known))
    return Role("" if text == "none" else text)


def group_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return *names* in their order, each once."""
    return tuple(dict.fromkeys(check_name("group", name) for name in names))


def setting(key: str, value: str) -> tuple[str, str]:
    """Return a setting of a host in its canonical form."""
    if key in RESERVED:
        raise BadValue("setting", key, "free: it is the name of a field")
    check_setting(key, value)
    if any(0xD800 <= ord(c) <= 0xDFFF for c in value):  # half a character: no file or database keeps it
        raise BadValue(f"setting {key}", value, "text in UTF-8")
    if not value:
        raise BadValue(f"setting {key}", value, "a value")
    if key == "uuid":
        try:
            value = parse_guid(value)
        except LocalError:
            raise BadValue("setting uuid", value, "a UUID") from None
    return key, value


def default_name(number: int) -> str:
    return f"node{number}"


class Checker:
    """Collects the mistakes of a text; a check that fails gives None and the reading goes on."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._lines: dict[tuple[str, str], int] = {}  # (field, value) -> where it was first

    def wrong(self, line: int, message: str) -> None:
        self.mistakes.append(Mistake(line, message))

    def take(self, line: int, check: Callable[[str], T], text: str) -> T | None:
        try:
            return check(text)
        except BadValue as error:
            self.wrong(line, str(error))
            return None

    def host(self, line: int, given: Mapping[str, str], settings: Mapping[str, str]) -> Host | None:
        """Make a host of the fields as text ("" where not given); None if any of them is wrong."""
        before = len(self.mistakes)
        mac = self.take(line, hardware_address, given.get("mac", ""))
        ip = self.take(line, ip_address, given["ip"]) if given.get("ip") else None
        number = self.take(line, node_number, given["number"]) if given.get("number") else None
        part = self.take(line, role, given.get("role", ""))
        device = self.take(line, check_device, given["local_boot"]) if given.get("local_boot") else None
        groups = self.take(line, _groups, given.get("groups", ""))
        kept = {key: self.take(line, _setting_called(key), value) for key, value in settings.items()}
        name = given.get("name") or (default_name(number) if number is not None else "")
        if name:
            self.take(line, host_name, name)
        elif not given.get("number"):
            self.wrong(line, "a name or a node number is needed")
        known = {key: value for key, value in kept.items() if value is not None}
        follows_number = not given.get("name") and ("node number", str(number)) in self._lines
        self._once(line, _unique(None if follows_number else name, mac, ip, number, known))
        if len(self.mistakes) > before or mac is None or part is None or groups is None:
            return None
        return Host(name, mac, ip, number, part, device, groups, known)

    def _once(self, line: int, values: Iterable[tuple[str, str]]) -> None:
        """Note values that only one host may have, also those of a line that is wrong elsewhere."""
        for field, value in values:
            first = self._lines.get((field, value))
            if first is not None:  # it may be this line: JSON needs no line breaks
                self.wrong(line, f"{field} {value} is already on line {first}")
            self._lines.setdefault((field, value), line)

    def finish(self, source: str, rows: Sequence[Row]) -> tuple[Row, ...]:
        """Return *rows* if nothing is wrong with the text; raises `BadText` with every mistake, by line."""
        if self.mistakes:
            raise BadText(source, sorted(self.mistakes, key=lambda mistake: mistake.line))
        return tuple(rows)


def _setting_called(key: str) -> Callable[[str], str]:
    return lambda value: setting(key, value)[1]


def _groups(text: str) -> tuple[str, ...]:
    return group_names(part.strip() for part in text.split(",") if part.strip())


def unique_values(host: Host) -> list[tuple[str, str]]:
    """Return the (field, value) pairs that no other host may have."""
    return _unique(host.name, host.mac, host.ip, host.number, host.settings)


def _unique(
    name: str | None, mac: str | None, ip: str | None, number: int | None, settings: Mapping[str, str]
) -> list[tuple[str, str]]:
    uuid = settings.get("uuid")
    values = (
        ("name", name),
        ("MAC address", mac),
        ("IP address", ip),
        ("node number", number),
        ("uuid", uuid),
    )
    return [(field, str(value)) for field, value in values if value]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` where a known word is near, else ""."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {found[0]}?" if found else ""
