"""A folder of an image: only `BadImage` leaves what describes it, whatever the files hold and are called.

The octets are files one after the other: name, NUL, two octets of length, content.
"""

import json

from bootd.darkstore import clonezilla, disks, sums
from bootd.darkstore.errors import BadImage
from tests.helpers.clonezilla import MemoryFolder, clonezilla_files, qcow2, with_sums


def _packed(files: dict[str, bytes], most: int = 700) -> bytes:
    chunks = [
        name.encode() + b"\0" + len(data[:most]).to_bytes(2, "big") + data[:most]
        for name, data in files.items()
    ]
    return b"".join(chunks)


def _unpacked(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    while data:
        name, _, rest = data.partition(b"\0")
        size = int.from_bytes(rest[:2], "big")
        files[name.decode("utf-8", "replace")] = rest[2 : 2 + size]
        data = rest[2 + size :]
    return files


_SMALL = {
    name: data for name, data in clonezilla_files().items() if name not in ("clonezilla-img", "sda-gpt-1st")
}
SEEDS = [
    _packed(_SMALL, 9000),
    _packed(with_sums({"disk": b"sda", "parts": b"sda1", "sda-pt.sf": _SMALL["sda-pt.sf"]})),
    _packed(clonezilla_files(compression="xz", split=None)),
    _packed(clonezilla_files(compression="bz2", split=300)),
    _packed({"disk.qcow2": qcow2(), "MD5SUMS": b"0" * 32 + b"  disk.qcow2\n"}),
]


def _check(error: BadImage) -> None:
    assert error.mistakes


def target(data: bytes) -> None:
    folder = MemoryFolder(_unpacked(data))
    clonezilla.looks_like(folder.sizes)
    try:
        plain = clonezilla.describe(folder, "fuzz").plain()
    except BadImage as error:
        _check(error)
    else:
        assert json.loads(json.dumps(plain)) == plain
    for name in disks.candidates(folder.sizes):
        try:
            disks.describe(folder, name, "fuzz")
        except BadImage as error:
            _check(error)
    for file in sums.FILES:
        if file in folder.files:
            named, _ = sums.parse_sums(folder.files[file].decode("utf-8", "replace"), file)
            assert all("/" not in name for name in named)
