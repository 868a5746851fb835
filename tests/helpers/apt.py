"""Answers as apt and dpkg-deb give them, and what is in their packages."""

from collections.abc import Sequence
from pathlib import Path

from bootd.imagebuild import BuildFailed

METAPACKAGE = "linux-image-cloud-amd64"
REAL = "linux-image-6.1.0-1-cloud-amd64"


def a_module(*, depends: str = "") -> bytes:
    return b"\x7fELF...\0license=GPL\0depends=" + depends.encode() + b"\0retpoline=Y\0"


def a_kernel_tree(tree: Path) -> Path:
    modules = tree / "lib/modules/6.1.0-1-cloud-amd64"
    (modules / "kernel/drivers").mkdir(parents=True)
    (tree / "boot").mkdir()
    (tree / "boot/vmlinuz-6.1.0-1-cloud-amd64").write_bytes(b"kernel")
    drivers = {
        "virtio_net": "net_failover,virtio_ring,virtio",
        "net_failover": "failover",
        "failover": "",
        "virtio_ring": "virtio",
        "virtio": "",
        "half": "not_there",
        "ping": "pong",
        "pong": "ping",
    }
    for name, depends in drivers.items():
        (modules / f"kernel/drivers/{name}.ko").write_bytes(a_module(depends=depends))
    (modules / "modules.builtin").write_text("kernel/net/packet/af_packet.ko\n")
    return tree


class FakeApt:
    """Answers as apt and dpkg-deb do; *down* makes every question fail, as without network."""

    def __init__(self) -> None:
        self.down = False
        self.downloads: list[str] = []
        self.questions = 0  # for versions

    def __call__(self, argv: Sequence[str], cwd: Path) -> str:
        if self.down:
            raise BuildFailed("apt is down", "wait")
        match list(argv):
            case ["apt-cache", "depends", _]:
                return f"{METAPACKAGE}\n  Depends: {REAL}\n"
            case ["apt-cache", "policy", *names]:
                self.questions += 1
                return "".join(f"{name}:\n  Installed: (none)\n  Candidate: 1:2.0-1\n" for name in names)
            case ["apt-get", *_, wanted]:
                self.downloads.append(wanted)
                (cwd / "got.deb").write_text(wanted)
            case ["dpkg-deb", "-x", _, tree] if "busybox" in self.downloads[-1]:
                (Path(tree) / "bin").mkdir()
                (Path(tree) / "bin/busybox").write_bytes(b"\x7fELF static")
            case ["dpkg-deb", "-x", _, tree]:
                a_kernel_tree(Path(tree))
            case other:
                raise AssertionError(other)
        return ""
