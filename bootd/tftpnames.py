"""What a name asked for by TFTP means: a file, or the script of the machine it names."""

from collections.abc import Callable
from dataclasses import dataclass

from bootd.boot.desk import ScriptDesk
from bootd.boot.files import Answer, Missing
from bootd.boot.names import ScriptName, parse_script_name
from bootd.boot.offer import http_base
from bootd.clock import Clock
from bootd.listeners.tftp import Asker
from bootd.services.filescan import FileIndex
from bootd.telemetry import Emit
from netboot.request import BootRequest, Stage


@dataclass(frozen=True, slots=True)
class TftpNames:
    """See `find`."""

    files: FileIndex
    desk: ScriptDesk
    base_url: Callable[[str], str]  # of our address that was asked
    clock: Clock
    emit: Emit

    async def find(self, name: str, asker: Asker) -> Answer | bytes:
        """Return what TFTP sends: a file, else this machine's script, else what a new look finds."""
        found = self.files.lookup(name)
        if not isinstance(found, Missing):
            return found
        wanted = parse_script_name(name)
        script = self._script(wanted, asker) if wanted is not None else None
        return script if script is not None else await self.files.find(name)

    def _script(self, wanted: ScriptName, asker: Asker) -> bytes | None:
        """Return the script of a machine we know; None leaves the name to the files."""
        question = BootRequest(
            mac=wanted.mac,
            arch=self.desk.architecture_of(wanted.mac),
            stage=wanted.stage,
            received_at=self.clock(),
            http=wanted.stage is not Stage.IPXE,
            guid=wanted.guid,
        )
        base_url = self.base_url(asker.local)
        answered = self.desk.script(question, wanted.dialect, base_url, client=asker.client)
        if answered.script is None:
            return None
        text = answered.script.text.encode()
        self.emit(answered.event(client=asker.client, dialect=wanted.dialect, octets=len(text)))
        return text


def base_url_of(address: str, port: int) -> Callable[[str], str]:
    """Return how machines reach us by the address of ours they asked, or by *address* if there is one."""
    return lambda local: http_base(address or local, port)
