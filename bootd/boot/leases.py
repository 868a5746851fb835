"""Which address a host is given, and which rows of the host table cannot be."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from bootd.model import Host
from netboot.dhcp.lease import Lease, Subnet
from netboot.request import BootRequest, Stage

Subnets = Mapping[str, Subnet]  # by name


def lease_of(host: Host, subnets: Subnets) -> Lease | None:
    """Return the address that *host* is given; None where it has none, or one that no machine can have."""
    if host.ip is None:
        return None
    address = IPv4Address(host.ip).packed
    for subnet in subnets.values():
        if subnet.is_for_machines(address) and address != subnet.router:
            return Lease(address, subnet, _host_name(host))
    return None


def _host_name(host: Host) -> str:
    """Return option 12, "" where the name is no host name: then the machine keeps its own."""
    return "" if "_" in host.name or "." in host.name else host.name


def lun_by_dhcp(host: Host, request: BootRequest) -> bool:
    """Tell whether *host*, asking as *request* shows, is to have its LUN from DHCP: a ROM cannot."""
    return host.settings.get("lun") == "dhcp" and request.stage is not Stage.ROM


def unleasable(hosts: Iterable[Host], subnets: Subnets, ours: Iterable[str]) -> dict[str, str]:
    """Return why a host cannot have its address, by host name; *ours* are the addresses we answer from."""
    taken = dict.fromkeys(ours, "bootd itself")
    taken |= {
        _text(subnet.router): f"the router of {name}" for name, subnet in subnets.items() if subnet.router
    }
    wrong: dict[str, str] = {}
    for host in hosts:
        if host.ip is None:
            continue
        if host.ip in taken:
            wrong[host.name] = f"its address {host.ip} is that of {taken[host.ip]}"
        elif lease_of(host, subnets) is None:
            wrong[host.name] = f"its address {host.ip} is no machine's in {_all(subnets)}"
        else:
            taken[host.ip] = host.name
    return wrong


def _all(subnets: Subnets) -> str:
    return ", ".join(f"{name} ({_text(each.network)}/{each.prefix})" for name, each in subnets.items())


def _text(octets: bytes) -> str:
    return str(IPv4Address(octets))
