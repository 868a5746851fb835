"""The imager's own script, in its own shell, sends a slot to a real boot port; the slot is a file here."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bootd.darkstore import captured, saveparts
from bootd.darkstore.tree import inspect
from bootd.model import ImageKind, Slot
from bootd.services.payload import payload_of
from tests.helpers.bookings import a_disk_image
from tests.helpers.capturenode import Node
from tests.helpers.capturing import TABLE
from tests.helpers.deeds import IMAGE, keep
from tests.helpers.partitions import UUID, root_partition
from tests.helpers.unpacking import PATH, run
from tests.helpers.web import NOON, running

SCRIPTS = Path(__file__).parents[2] / "images/imager/files/etc/bootd"
_BEGIN = """
node=node1 server=http://127.0.0.1:{port}
argument() {{ echo {token}; }}
. {folder}/talk
. {folder}/slot
. {folder}/capture
sectors_read() {{ echo 0; }}
sfdisk() {{ cat {folder}/table; }}
blockdev() {{ stat -c %s "$2"; }}
sleep() {{ busybox sleep 0.1; }}
ask task /node/v1/task || exit 9
disk=sda device={slot}
"""
# tasks and their files are as they are, but for the round
_OTHER = """
sed -i 's/^round .*/round 9/' {folder}/image/task
"""
_SEND = """
look && send_slot && described
echo "result $? why $why note $note"
"""


_SLOWLY = """
read_slot() {
  "$tool" -q -c -s "$device" -o - -L /dev/null | { dd bs=1M count=17 iflag=fullblock; busybox sleep 2; cat; }
}
"""


@dataclass
class Machine:
    """A node whose scripts run here: folders of the imager lie in *folder*, its slot is a file."""

    node: Node
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        (self.folder / "image").mkdir()
        (self.folder / "table").write_text(TABLE)
        (self.folder / "disk").write_bytes(bytes(510) + b"\x55\xaa")
        (self.folder / "size").write_text("1000000\n")
        (self.folder / "bootd-image").write_text("imager\n")
        self.slot = root_partition(self.folder / "slot-of-it", "A-MARKER", mib=40, ballast=20)
        for path in SCRIPTS.iterdir():
            (self.folder / path.name).write_text(self._moved(path.read_text()))

    def _moved(self, text: str) -> str:
        for name, there in (
            ("/run/image", "image"),
            ("/etc/bootd-image", "bootd-image"),
            ("/dev/$disk", "disk"),
            ("/sys/block/$disk/size", "size"),
        ):
            text = text.replace(name, f"{self.folder}/{there}")
        return re.sub(r"/etc/bootd/", f"{self.folder}/", text)

    async def run(self, commands: str = _SEND) -> str:
        """Run *commands* as the imager's agent would; return what they said."""
        begin = _BEGIN.format(
            port=self.node.site.port, token=self.node.token(), folder=self.folder, slot=self.slot
        )
        script = self.folder / "script"
        script.write_text(begin + commands)
        process = await asyncio.create_subprocess_exec(
            *("busybox", "ash", str(script)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **PATH},
        )
        said, _ = await process.communicate()
        return said.decode(errors="replace")

    def image(self, name: str = "it") -> dict[str, Any]:
        """Put together what came; return its description."""
        end = self.node.state.end
        assert end is not None
        saved = saveparts.parse({key: str(end[key]) for key in saveparts.FIELDS}, 7)
        digest = self.node.upload.put_together(saved.prefix, saveparts.texts(saved, at=NOON, words="x"))
        assert digest == end["sha256"]
        return dict(inspect(self.node.upload.image, name).description)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    node = Node(tmp_path)
    with node.store() as store:
        keep(store, Slot("node1", 7, IMAGE, "sha256:1", "ready"))
    yield Machine(node, tmp_path / "machine")
    await node.aclose()


def restored(machine: Machine, to: Path) -> Path:
    """Restore what came as Clonezilla does."""
    pieces = " ".join(f"'{path}'" for path in sorted(machine.node.upload.image.glob("*-ptcl-img.zst.*")))
    with to.open("wb") as file:
        file.truncate(machine.slot.stat().st_size)
    restore = f"partclone.restore -q -C -s - -O '{to}' -L /dev/null"
    for tool in (restore, "partclone.chkimg -s - -L /dev/null"):
        run("bash", "-c", f"set -o pipefail; cat {pieces} | zstd -dc | {tool}")
    return to


# -- as it should go ----------------------------------------------------------------------------


async def test_slot_that_was_sent_is_restored_by_the_genuine_tools(machine: Machine, tmp_path: Path) -> None:
    async with running(machine.node.site):
        said = await machine.run()
    assert "result 0 why  note" in said, said
    assert machine.node.state.pieces == 2
    [disk] = machine.image()["disks"]
    [part] = [each for each in disk["partitions"] if each["files"]]
    assert (part["device"], part["file_system"], part["tool"]) == ("sda7", "ext4", "partclone")
    log = (machine.node.upload.image / "clonezilla-img").read_text()
    assert "Starting to clone device (" in log
    assert "Space in use:" in log
    copy = restored(machine, tmp_path / "copy")
    run("e2fsck", "-f", "-n", copy)
    for name in ("ballast", "boot/grub/grub.cfg"):
        found = [tmp_path / f"{which}-{Path(name).name}" for which in ("sent", "copied")]
        run("debugfs", "-R", f"dump /{name} {found[0]}", machine.slot)
        run("debugfs", "-R", f"dump /{name} {found[1]}", copy)
        assert found[0].read_bytes() == found[1].read_bytes()
    assert f'UUID="{UUID}" TYPE="ext4"' in (machine.node.upload.image / "blkid.list").read_text()


async def test_what_no_tool_knows_is_sent_octet_by_octet(machine: Machine) -> None:
    octets = os.urandom(3 << 20)
    machine.slot.write_bytes(octets)
    async with running(machine.node.site):
        said = await machine.run()
    assert "result 0" in said, said
    assert "note saved octet by octet: imager has no tools for what is in it" in said
    description = machine.image()
    [name] = payload_of(a_disk_image(kind=ImageKind.CLONEZILLA, description=description)).files
    assert name == "sda7.dd-ptcl-img.zst.aa"
    run("zstd", "-dq", machine.node.upload.image / name, "-o", machine.folder / "raw")
    assert (machine.folder / "raw").read_bytes() == octets


# -- what goes wrong ----------------------------------------------------------------------------


async def test_file_system_with_errors_is_not_sent(machine: Machine) -> None:
    run("debugfs", "-w", "-R", "clri /ballast", machine.slot)
    async with running(machine.node.site):
        said = await machine.run()
    assert "result 1 why e2fsck: " in said, said
    assert machine.node.state.pieces == 0


async def test_daemon_that_cannot_take_a_piece_just_now_is_asked_again(machine: Machine) -> None:
    node = machine.node
    volumes = node.upload.folder / "volumes"
    async with running(node.site):
        volumes.rename(node.folder / "away")
        script = asyncio.create_task(machine.run())
        async with asyncio.timeout(60):
            while not node.refusals():
                await asyncio.sleep(0.05)
        (node.folder / "away").rename(volumes)
        said = await script
    assert "result 0" in said, said
    assert set(node.refusals()) == {"dark-store-away"}
    machine.image()


async def test_daemon_that_starts_anew_in_the_middle_is_waited_for(machine: Machine) -> None:
    node = machine.node
    async with running(node.site) as site:
        port = site.port
        script = asyncio.create_task(machine.run(_SLOWLY + _SEND))
        async with asyncio.timeout(60):
            while not node.state.pieces:
                await asyncio.sleep(0.02)
    await asyncio.sleep(0)
    node.site.port = port
    async with running(node.site, port):
        said = await script
    assert "result 0" in said, said
    machine.image()


async def test_job_that_is_taken_back_ends_the_sending_at_once(machine: Machine) -> None:
    async with running(machine.node.site):
        said = await machine.run(_OTHER.format(folder=machine.folder) + _SEND)
    assert "result 3" in said, said
    assert machine.node.refusals() == ["not-wanted"]


async def test_disk_that_is_full_is_told_and_not_tried_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured, "SPARE", 1 << 60)
    async with running(machine.node.site):
        said = await machine.run()
    assert "result 1 why send: the dark store has room for 0 octets more" in said, said
    assert machine.node.refusals() == ["no-room"]


async def test_job_that_is_taken_back_before_the_last_word_is_no_failure(machine: Machine) -> None:
    taken_back = f"sed -i 's/^round .*/round 9/' {machine.folder}/image/task\n"
    async with running(machine.node.site):
        said = await machine.run(f'look && send_slot\n{taken_back}described\necho "result $?"\n')
    assert "result 3" in said, said
    assert machine.node.state.end is None


async def test_description_that_is_not_taken_is_a_failure_with_its_reason(machine: Machine) -> None:
    (machine.folder / "table").write_text("nonsense\n")
    async with running(machine.node.site):
        said = await machine.run()
    assert "result 1 why bootd did not take what the slot is: " in said
    assert "HTTP/1.1 422" in said
