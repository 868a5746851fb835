"""The imager's own script, in its own shell, takes an image from a boot port; the slot is a file here."""

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bootd.events import NodeReported
from tests.helpers.imagershell import ImagerShell
from tests.helpers.partitions import xfs_root
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, running

OCTETS = os.urandom(3 << 20)
GRANTED, DENIED = "permit yes\nlayout keep\n", "permit no\nreason reservation 4 holds the node\n"
_SLOT = "dev/sda7"
_BEGIN = """
find_disk() { disk=sda; }
mount() { return 1; }
blockdev() { :; }
watch_session() { :; }
interface=lo
ask task /node/v1/task || exit 9
"""
_WRITE = 'write_slot && why=; echo "result $? $why"; echo "note $uncompared"\n'
# partclone asks a block device how large it is; a file is as large as it may become
_RESTORE = '#!/bin/sh\nexec /usr/sbin/partclone.restore -C "$@"\n'


def packed(octets: bytes, name: str = "it.img") -> tuple[bytes, str]:
    """Return the stream in which *octets* are sent as one file, and the identity of such an image."""
    stream, info = io.BytesIO(), tarfile.TarInfo(name)
    info.size = len(octets)
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.addfile(info, io.BytesIO(octets))
    line = f"{hashlib.sha256(octets).hexdigest()}  {name}\n"
    return stream.getvalue(), f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"


@dataclass
class Node:
    """A machine with somebody's disk, whose slot 7 is to be written; bootd answers what it is told to."""

    folder: Path
    identity: str = packed(OCTETS)[1]
    tool: str = "raw"
    streams: list[str] = field(default_factory=lambda: ["whole.tar"])  # one for each session
    permits: list[str] = field(default_factory=lambda: [GRANTED])
    asked: int = 0

    def __post_init__(self) -> None:
        self.site = Site(a_snapshot(a_host()))
        self.site.parts = replace(self.site.parts, tasks=self)

    def serve(self, name: str, octets: bytes) -> None:
        (self.folder / name).write_bytes(octets)
        self.site.serve_file(name, self.folder / name)

    async def task(self, node: str) -> str:
        self.asked += 1
        stream = self.streams.pop(0) if len(self.streams) > 1 else self.streams[0]
        lines = {
            "task": "write",
            "job": "3",
            "image": "mesh/it",
            "session": stream,
            "identity": self.identity,
            "slot": "7",
            "disk": "/dev/sda",
            "tool": self.tool,
            "compression": "uncomp",
            "octets": "3145728",
            "file": "it.img",
            "transport": "http",
            "path": f"/files/{stream}",
        }
        return "".join(f"{key} {value}\n" for key, value in lines.items())

    async def permit(self, node: str, form: Mapping[str, str]) -> str:
        return self.permits.pop(0)

    async def run(self, commands: str = _WRITE) -> list[str]:
        """Run *commands* as the agent would; return the lines they said, but for the words."""
        folder = self.folder / "shell"
        token = self.site.parts.tokens.mint(MAC, None, NOON)
        sourced = ("functions", "talk", "disk", "slot")
        async with running(self.site):
            shell = ImagerShell(folder, f"http://127.0.0.1:{self.site.port}", token=token, sourced=sourced)
            self._furnish(folder)
            said = await shell.run(f"PATH={folder}/bin:$PATH\n{_BEGIN}{commands}")
        return [line for line in said.out.decode().splitlines() if not line.startswith("imager: ")]

    def _furnish(self, folder: Path) -> None:
        for name, text in {
            "bin/partclone.restore": _RESTORE,
            "block/sda/size": "131072\n",
            "block/sda/removable": "0\n",
            "block/sda/queue/logical_block_size": "512\n",
            "block/sda7/stat": "0 0 0 0\n",
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        (folder / "bin/partclone.restore").chmod(0o755)
        for name, mib in {"sda": 64, "sda1": 16, "sda2": 8, "sda7": 340}.items():
            (folder / "dev").mkdir(exist_ok=True)
            with (folder / "dev" / name).open("wb") as file:
                file.truncate(mib << 20)
        subprocess.run(["mke2fs", "-q", "-F", "-L", "theirs", folder / "dev/sda1"], check=True)

    @property
    def slot(self) -> bytes:
        with (self.folder / "shell" / _SLOT).open("rb") as file:
            return file.read(len(OCTETS))

    @property
    def words(self) -> list[str]:
        return [f"{event.state} {event.detail}".strip() for event in self.site.of_kind(NodeReported)]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.serve("whole.tar", packed(OCTETS)[0])
    made.serve("cut.tar", packed(OCTETS)[0][: 1 << 20])
    return made


# -- as it should go ----------------------------------------------------------------------------


async def test_image_is_written_to_its_slot_and_compared(node: Node) -> None:
    assert await node.run() == ["result 0 ", "note "]
    assert node.slot == OCTETS
    assert node.words == ["joined", "checking"]


async def test_session_that_is_sent_anew_is_permitted_anew(node: Node) -> None:
    node.streams, node.permits = ["cut.tar", "cut.tar", "whole.tar"], [GRANTED, GRANTED]
    assert await node.run() == ["result 0 ", "note "]
    assert node.slot == OCTETS
    assert (node.words, node.permits) == (["joined", "joined again", "checking"], [])


# -- what is not done ---------------------------------------------------------------------------


async def test_slot_that_may_not_be_written_any_more_is_not_written_again(node: Node) -> None:
    node.streams, node.permits = ["cut.tar", "cut.tar", "whole.tar"], [GRANTED, DENIED]
    assert await node.run() == ["result 1 reservation 4 holds the node", "note "]
    assert node.slot != OCTETS
    assert node.words == ["joined"]


@pytest.mark.parametrize("identity", ["ref:mesh/it", ""])
async def test_image_that_cannot_be_compared_with_anything_is_not_begun(node: Node, identity: str) -> None:
    node.identity = identity
    [result, _] = await node.run()
    why = "bootd does not know the digest of mesh/it, nothing was written: bootd images verify it first"
    assert result == f"result 1 {why}"
    assert (node.slot, node.words, node.permits) == (bytes(len(OCTETS)), [], [GRANTED])


async def test_another_image_than_was_ordered_is_never_good(node: Node) -> None:
    node.identity = f"sha256:{'0' * 64}"
    [result, _] = await node.run("came_anew() { return 1; }\n" + _WRITE)
    assert result == f"result 1 what came is not the image: {packed(OCTETS)[1]}"
    assert node.words == ["joined"]


async def test_disk_that_gives_back_other_octets_is_told(node: Node) -> None:
    flip = f"printf x | dd of={node.folder}/shell/{_SLOT} bs=1 seek=1000000 conv=notrunc 2>/dev/null"
    [result, _] = await node.run(f"forget_cache() {{ {flip}; }}\n{_WRITE}")
    assert result.endswith("/dev/sda7 does not read back as it was written")
    assert node.words == ["joined", "checking"]


# -- what cannot be compared --------------------------------------------------------------------


def saved(folder: Path, kind: str, partition: Path) -> bytes:
    """Return *partition* as the real partclone saves it."""
    image = folder / "saved"
    argv = [f"partclone.{kind}", "-q", "-c", "-s", str(partition), "-O", str(image), "-L", "/dev/null"]
    subprocess.run(argv, check=True, capture_output=True)
    return image.read_bytes()


def give(node: Node, octets: bytes) -> None:
    stream, node.identity = packed(octets)
    node.tool = "partclone"
    node.serve("whole.tar", stream)


async def test_file_system_that_nothing_here_reads_is_good_and_its_note_says_so(node: Node) -> None:
    path = node.folder / "fat"
    with path.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.fat", path], check=True, capture_output=True)
    give(node, saved(node.folder, "vfat", path))
    [result, note] = await node.run()
    assert result == "result 0 "
    reason = "nothing here reads FAT16 as it was saved"
    assert note == f"note was not read back ({reason}); partclone's own checksums were right"


async def test_xfs_that_reads_back_otherwise_is_good_for_another_partclone_alone(node: Node) -> None:
    give(node, saved(node.folder, "xfs", xfs_root(node.folder / "xfs", "MARKER")))
    begin = f"device={node.folder}/shell/{_SLOT}; write_image && check_identity; cmp() {{ return 1; }}\n"
    look = 'read_back; echo "result $? $why"; echo "note $uncompared"\n'
    same, none, other, note = await node.run(f"{begin}{look}own_version() {{ echo 0.1; }}\nwhy=\n{look}")
    assert same.startswith("result 1 ")
    assert same.endswith("/dev/sda7 does not read back as it was written")
    assert (none, other) == ("note ", "result 0 ")
    assert note.startswith("note was not read back (partclone 0.")
