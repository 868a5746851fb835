"""A workshop that writes slots, with its database on the disk and a boot port that machines speak to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bootd.boot.snapshot import Policy
from bootd.drivers.power import PowerState
from bootd.model import JobKind
from bootd.services.observe import Observer
from bootd.services.tasks import TaskDesk
from bootd.store import Store
from bootd.witness import Witness
from bootd.workers.write_slot import WriteSlot
from tests.helpers.imaging import PACE, Shop
from tests.helpers.site import file_store
from tests.helpers.web import LOADERS, Site, running


class Place(Shop):
    """What comes from loopback is *speaks*'s, as the kernel's ARP table would have it."""

    speaks = "node1"

    def new_store(self) -> Store:
        return file_store(self.folder, clock=self.clock)

    @asynccontextmanager
    async def boot_port(self) -> AsyncIterator[Site]:
        """Serve on loopback as things are now; what machines said has been taken down at the end."""
        snapshot = self.store.load_snapshot(Policy(loaders=LOADERS))
        site = Site(snapshot, now=self.clock(), arp={"127.0.0.1": self.mac(self.speaks)})
        observer = Observer(self.new_store, clock=self.clock)
        witness = Witness(observer, site.clients, lambda: (), self.clock)
        tasks = TaskDesk(self.new_store)
        site.parts = replace(site.parts, tasks=tasks, emit=witness.take)
        observer.start()
        try:
            async with running(site):
                yield site
        finally:
            observer.close()
            await tasks.aclose()

    def mac(self, node: str) -> str:
        host = self.store.host(node)
        assert host is not None
        return host.mac

    def token(self, site: Site, node: str) -> str:
        return site.parts.tokens.mint(self.mac(node), None, self.clock())


def a_place(folder: Path, *, speaks: str = "node1") -> Place:
    made = Place({JobKind.WRITE_SLOT: WriteSlot()}, folder, nodes=6, settings=PACE)
    made.speaks = speaks
    made.power.states = {f"node{n}": PowerState.ON for n in range(1, 7)}
    return made
