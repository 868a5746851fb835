"""The networks whose machines get their addresses from us: ``[dhcp.subnets.NAME]`` of the configuration."""

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Any

from netboot.dhcp.lease import Route, Subnet

Check = Callable[[Any], str | None]  # what was expected, or None where the value fits

TABLE = "dhcp.subnets"
_NAME = re.compile(r"dhcp\.subnets\.([A-Za-z0-9_-]+)\.([^.]+)")
_YEAR_S = 366 * 86400
_SMALLEST = 30  # octet count of a prefix; EDK2 refuses the mask of a /31


def _network(value: Any) -> str | None:
    network = _as_network(value)
    good = network is not None and 8 <= network.prefixlen <= _SMALLEST
    return None if good else 'a network of /8 to /30 such as "10.0.0.0/24"'


def _as_network(value: Any) -> IPv4Network | None:
    try:
        return IPv4Network(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        return None


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and not IPv4Address(value).is_multicast and value != "0.0.0.0"
    except ValueError:
        return False


def _router(value: Any) -> str | None:
    return None if value == "" or _is_address(value) else 'an IPv4 address such as "10.0.0.1"'


def _addresses(value: Any) -> str | None:
    good = isinstance(value, list) and len(value) <= 8 and all(map(_is_address, value))
    return None if good else 'a list of at most 8 IPv4 addresses such as ["10.0.0.1"]'


def _domain(value: Any) -> str | None:
    labels = value.rstrip(".").split(".") if isinstance(value, str) else [""]
    good = value == "" or (len(labels) <= 16 and all(map(_is_label, labels)))
    return None if good else 'a domain name such as "lab.example"'


def _is_label(text: str) -> bool:
    plain = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return plain and len(text) <= 63 and not text.startswith("-")


def _lease(value: Any) -> str | None:
    return None if type(value) is int and 60 <= value <= _YEAR_S else f"seconds from 60 to {_YEAR_S}"


def _routes(value: Any) -> str | None:
    good = isinstance(value, list) and len(value) <= 16 and all(_as_route(item) for item in value)
    return None if good else 'a list of at most 16 routes such as ["10.1.0.0/16 via 10.0.0.9"]'


def _as_route(value: Any) -> Route | None:
    text, _, router = value.partition(" via ") if isinstance(value, str) else ("", "", "")
    network = _as_network(text.strip())
    if network is None or not _is_address(router.strip()):
        return None
    return Route(network.network_address.packed, network.prefixlen, _octets(router.strip()))


# key of a table -> default, check, meaning; `network` has no default: it makes the subnet.
KEYS: Mapping[str, tuple[Any, Check, str]] = MappingProxyType(
    {
        "network": (None, _network, "its addresses, such as 10.0.0.0/24"),
        "router": ("", _router, "the default route of its machines; empty: they get none"),
        "dns": ([], _addresses, "their DNS servers"),
        "domain": ("", _domain, "their domain"),
        "lease": (86400, _lease, "seconds for which an address is given; half of it later it is renewed"),
        "routes": ([], _routes, "further routes, each NETWORK via ROUTER"),
    }
)


def split(name: str) -> tuple[str, str] | None:
    """Return the subnet and the key that a dotted *name* of the configuration is about, else None."""
    match = _NAME.fullmatch(name)
    return (match[1], match[2]) if match else None


def tables(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables in *values* (by dotted name), keyed by the name of the subnet."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if place := split(name):
            found.setdefault(place[0], {})[place[1]] = value
    return found


def mistakes(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield each key that does not go with the others, by its dotted name, and what is wrong with it.

    *tables* hold values that are good alone; a network that was given and is not good is not there.
    """
    networks: dict[str, IPv4Network] = {}
    for name, table in tables.items():
        at = f"{TABLE}.{name}"
        network = _as_network(table.get("network"))
        if network is None:
            if "network" in table:
                yield f"{at}.network", 'is missing: a subnet is made by network = "10.0.0.0/24"'
            continue
        for other, taken in networks.items():
            if network.overlaps(taken):
                yield f"{at}.network", f"{network} overlaps {taken} of {other}"
        networks[name] = network
        router = table.get("router")
        if router and not _subnet_of(network).is_for_machines(_octets(router)):
            yield f"{at}.router", f"{router} is no address of a machine in {network}"


def make(table: Mapping[str, Any]) -> Subnet:
    """Return the subnet of a table that is good and complete."""
    bare = _subnet_of(IPv4Network(table["network"]))
    return Subnet(
        bare.network,
        bare.prefix,
        _octets(table["router"]) if table["router"] else b"",
        tuple(map(_octets, table["dns"])),
        table["domain"],
        table["lease"],
        tuple(route for route in map(_as_route, table["routes"]) if route is not None),
    )


def _subnet_of(network: IPv4Network) -> Subnet:
    return Subnet(network.network_address.packed, network.prefixlen)


def _octets(address: str) -> bytes:
    return IPv4Address(address).packed
