"""Who an event is about: TFTP and HTTP know an address, people want a name."""

from collections.abc import Callable
from dataclasses import replace

from bootd.boot.clients import Clients
from bootd.boot.snapshot import Snapshot
from bootd.events import Event
from bootd.telemetry import Emit


class Attribution:
    """Fills in *mac* and *host* where an event came without them, and passes it on."""

    def __init__(self, clients: Clients, snapshot: Callable[[], Snapshot], pass_on: Emit) -> None:
        self._clients = clients
        self._snapshot = snapshot
        self._pass_on = pass_on

    def emit(self, event: Event) -> None:
        """Pass on *event*, attributed."""
        client = getattr(event, "client", "")
        mac = event.mac or (self._clients.mac_at(client) if client else "")
        if mac and not event.host:
            host = self.host_name(mac)
            if mac != event.mac or host:
                event = replace(event, mac=mac, host=host)
        self._pass_on(event)

    def host_name(self, mac: str) -> str:
        """Return the name of the host with *mac*, "" for none."""
        host = self._snapshot().hosts_by_mac.get(mac)
        return host.name if host is not None else ""

    def host_mac(self, address: str) -> str:
        """Return the MAC address of the host with the IPv4 *address* in the host table, "" for none."""
        hosts = self._snapshot().hosts.values()
        return next((host.mac for host in hosts if address and host.ip == address), "")
