"""Addresses that cannot be given, or that somebody else uses: said by ``/readyz`` until all is well."""

from collections.abc import Callable, Iterable, Mapping

from bootd.boot.leases import unleasable
from bootd.boot.snapshot import Snapshot
from bootd.events import AddressDeclined, AddressGiven, Event
from bootd.model import Host
from bootd.telemetry import Problems
from netboot.dhcp.authoritative import Phase
from netboot.dhcp.lease import Subnet

_SHOWN = 3  # hosts named in one problem


class AddressWatch:
    """Looks at the host table after each change and listens to what machines say. Without *subnets*: nothing.

    *ours* are the addresses of this server.
    """

    def __init__(
        self, subnets: Mapping[str, Subnet], *, ours: Callable[[], Iterable[str]], problems: Problems
    ) -> None:
        self._subnets = subnets
        self._ours = ours
        self._problems = problems
        self._seen: tuple[Mapping[str, Host], set[str]] | None = None
        self._declined: dict[str, str] = {}  # host -> address

    def check(self, snapshot: Snapshot) -> None:
        """Say which hosts of *snapshot* cannot have their address."""
        ours = set(self._ours())
        if not self._subnets or self._seen == (snapshot.hosts, ours):
            return
        self._seen = (snapshot.hosts, ours)
        wrong = unleasable(snapshot.hosts.values(), self._subnets, ours)
        if wrong:
            self._problems.found("addresses", _told(wrong))
        else:
            self._problems.cleared("addresses")
        for name, address in list(self._declined.items()):
            host = snapshot.hosts.get(name)
            if host is None or host.ip != address:
                self._well(name)

    def take(self, event: Event) -> None:
        """Note that a machine will not use its address, and that it does after all."""
        if isinstance(event, AddressDeclined):
            self._declined[event.host] = event.address
            text = f"{event.host} found another machine at its address {event.address}: look for that one"
            self._problems.found(f"declined:{event.host}", text)
        elif isinstance(event, AddressGiven) and event.why == Phase.RENEWING and event.host in self._declined:
            self._well(event.host)

    def _well(self, host: str) -> None:
        del self._declined[host]
        self._problems.cleared(f"declined:{host}")


def _told(wrong: Mapping[str, str]) -> str:
    first = "; ".join(f"{host}: {why}" for host, why in list(wrong.items())[:_SHOWN])
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return f"no address can be given to {first}{more}"
