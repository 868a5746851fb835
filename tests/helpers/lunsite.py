"""A tgtd, our backend on it, and machines that try to log in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootd.drivers.lun import Chap
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from tests.helpers.initiator import Initiator, LoginRefused
from tests.helpers.tgtd import PrivateTgtd, private_tgtd

NODE1, NODE2 = (f"iqn.2026-01.org.example:node{n}" for n in (1, 2))
CHAP = Chap("node1", "secret-secret")
SIZE = 4 << 20
IMAGE = bytes(range(256)) * 4096 + bytes(1 << 20) + b"end"
# Asked for a target that it does not have, tgtd hangs up; libiscsi's words for that are the last.
REFUSALS = ("Target not found", "Authentication failure", "Can not reconnect right now")


@dataclass
class Site:
    tgtd: PrivateTgtd
    luns: TgtLuns
    tools: Tools

    def log_in(
        self, volume: str, chap: Chap | None = CHAP, initiator: str = NODE1, alias: str = ""
    ) -> Initiator:
        target = f"iqn.2026-01.bootd.tgt:{volume}"
        user, secret = (chap.user, chap.secret) if chap else ("", "")
        return Initiator(initiator, self.tgtd.portal, target, 1, user, secret, alias)

    def refuses(self, volume: str, chap: Chap | None = CHAP, initiator: str = NODE1) -> bool:
        """Return whether the target says no; an error that says anything else is raised."""
        try:
            self.log_in(volume, chap, initiator).log_out()
        except LoginRefused as error:
            if not any(words in str(error) for words in REFUSALS):
                raise
            return True
        return False

    def next_process(self) -> TgtLuns:
        return TgtLuns(self.tools, socket=self.tgtd.socket)

    def export_image(self) -> None:
        """Have volume a with the image, exported to node 1."""
        self.luns.create("a", SIZE)
        self.luns.write("a", BytesSource(IMAGE))
        self.luns.export("a", NODE1, CHAP)


@contextmanager
def lun_site(folder: Path) -> Iterator[Site]:
    tools = Tools(folder / "luns")
    with private_tgtd() as tgtd:
        yield Site(tgtd, TgtLuns(tools, socket=tgtd.socket), tools)
