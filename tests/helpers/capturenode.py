"""A machine whose slot is captured, and a boot port on loopback that takes what it sends."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from aiohttp import ClientSession, FormData

from bootd.darkstore.captured import State, Upload
from bootd.darkstore.tree import Tree
from bootd.events import PieceRefused
from bootd.http.capture import END, ROUTE
from bootd.model import Job, JobKind, JobPart, Project
from bootd.services import jobs
from bootd.services.capturing import ROUND, CaptureDesk
from bootd.services.jobs import CALLED_AT
from bootd.services.tasks import TaskDesk
from bootd.store import Store
from tests.helpers.site import file_store
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot

OTHER_MAC = "52:54:00:ab:cd:02"
ROW = {"job": "1", "round": "1"}


@dataclass
class Node:
    """A machine whose slot 7 is captured by job 1, and the boot port it sends to."""

    folder: Path
    arp: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tree = Tree(self.folder / "dark")
        self.tree.root.mkdir()
        self.upload.begin(1)
        facts = {jobs.SLOT: 7, jobs.IMAGE: "mesh/mine", ROUND: 1, CALLED_AT: NOON.isoformat()}
        job = Job(1, JobKind.CAPTURE, None, None, ("node1",), NOON, "anna", NOON, "running", "read")
        with self.store() as store, store.transaction("anna", "furnish") as change:
            change.put_hosts([a_host(), a_host("node2", OTHER_MAC)])
            change.keep(Project("mesh", "anna", NOON))
            change.keep(replace(job, facts=facts))
            change.put_job_parts([JobPart(1, "node1", "reading", since=NOON)])
        self.new_site()

    def new_site(self) -> None:
        """Have a bootd that knows nothing of what came before but what is on the disk."""
        self.site = Site(a_snapshot(a_host(), a_host("node2", OTHER_MAC)), arp=self.arp)
        self.desk = CaptureDesk(self.store, self.tree)
        self.tasks = TaskDesk(self.store)
        self.site.parts = replace(self.site.parts, captures=self.desk, tasks=self.tasks)

    async def aclose(self) -> None:
        await self.desk.aclose()
        await self.tasks.aclose()

    def store(self) -> Store:
        return file_store(self.folder)

    @property
    def upload(self) -> Upload:
        return Upload(self.folder / "dark", 1)

    @property
    def state(self) -> State:
        return self.upload.state()

    def token(self, mac: str = MAC) -> str:
        return self.site.parts.tokens.mint(mac, None, NOON)

    async def post(
        self, number: int, content: bytes, *, token: str | None = None, **query: str
    ) -> tuple[int, str]:
        told = {**ROW, "piece": str(number), "sha256": hashlib.sha256(content).hexdigest(), **query}
        headers = {"Authorization": f"Bearer {self.token() if token is None else token}"}
        url = f"http://127.0.0.1:{self.site.port}{ROUTE}"
        async with (
            ClientSession() as session,
            session.post(url, params=told, data=BytesIO(content), headers=headers) as reply,
        ):
            return reply.status, await reply.text()

    async def end(self, form: Mapping[str, str], **changes: str) -> tuple[int, str]:
        fields = {**ROW, "token": self.token(), **form, **changes}
        url = f"http://127.0.0.1:{self.site.port}{END}"
        async with ClientSession() as session, session.post(url, data=FormData(fields)) as reply:
            return reply.status, await reply.text()

    def refusals(self) -> list[str]:
        return [event.why for event in self.site.of_kind(PieceRefused)]
