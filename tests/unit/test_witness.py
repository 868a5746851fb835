"""What the daemon writes down of what happens, and whose doing it takes it for."""

from pathlib import Path

import pytest

from bootd.boot.clients import Clients
from bootd.events import Event, ScriptSent, ServiceStarted, UnknownMachine
from bootd.services.observe import Observer
from bootd.store import Store
from bootd.witness import Witness
from tests.helpers.site import HandClock, a_host, file_store

MAC = a_host().mac
OTHER = "52:54:00:00:00:99"
OURS, NEAR, FAR, FORGED = "10.0.0.2", "10.0.0.7", "10.1.0.7", "10.0.0.8"


def a_script(client: str) -> ScriptSent:
    who = {"mac": MAC, "host": "node1", "client": client}
    return ScriptSent(**who, dialect="ipxe", rule="assigned", answer="memory:debian", octets=5)


def witnessed(folder: Path, *events: Event) -> Store:
    """Return the store once everything is in it."""
    clients = Clients({NEAR: MAC, FORGED: OTHER}.get)
    clients.heard_address(MAC, FORGED)  # anybody may say so by DHCP
    observer = Observer(lambda: file_store(folder), clock=HandClock(), batch_every_s=0.001)
    witness = Witness(observer, clients, lambda: {OURS}, HandClock())
    observer.start()
    for event in events:
        witness.take(event)
    observer.close()
    return file_store(folder)


@pytest.mark.parametrize(
    ("client", "itself"), [(NEAR, True), (FAR, True), (OURS, False), ("127.0.0.1", False), (FORGED, False)]
)
def test_script_counts_as_the_machines_own_unless_somebody_else_fetched_it(
    tmp_path: Path, client: str, itself: bool
) -> None:
    with witnessed(tmp_path, a_script(client)) as store:
        [kept] = store.observations()
    assert ("another machine" not in kept.observation.text) == itself


def test_stranger_is_a_sighting_and_the_process_itself_leaves_nothing(tmp_path: Path) -> None:
    started = ServiceStarted(listening="eth0", seconds=0.1)
    with witnessed(tmp_path, UnknownMachine(mac=OTHER, arch="x86-bios"), started) as store:
        [sighting] = store.sightings()
        assert store.observations() == []
    assert (sighting.mac, sighting.questions) == (OTHER, 1)
