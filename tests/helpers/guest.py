"""A machine with Debian's own kernel that runs a command of this machine's files, and can only read them.

For what this machine's kernel lacks. The guest has no network and no disk: its root is this machine's
over 9p; what it writes goes to memory.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bootd.cli.context import cache_dir
from bootd.imagebuild import cpio
from bootd.imagebuild.debian import Packages
from bootd.imagebuild.kernel import PACKAGE, Kernel

KERNEL = "linux-image-amd64"  # the cloud kernel has no 9p
_OWN = ("virtio_pci", "9pnet_virtio", "9p", "configfs")
ENDED = "the guest's command ended with "
_INIT = """\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod "$module" || echo "$module: not inserted"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose host /host
for folder in proc sys dev; do $b mount --rbind "/$folder" "/host/$folder"; done
$b mkdir -p /host/dev/shm
$b mount -t tmpfs tmpfs /host/dev/shm
$b mount -t configfs configfs /host/sys/kernel/config
$b ifconfig lo 127.0.0.1 up
$b cp /command /host/dev/shm/command
$b chroot /host /bin/sh /dev/shm/command 2>&1
$b poweroff -f
"""


def run_in_guest(command: str, *, modules: Sequence[str], folder: Path, patience_s: float) -> str:
    """Return what the machine said on its console until it ended; the command's status is after `ENDED`.

    Raises `subprocess.TimeoutExpired` with what it said until then.
    """
    packages = Packages(cache_dir() / "packages", print)
    kernel = Kernel(packages.unpacked(packages.behind(KERNEL, PACKAGE)))
    initrd = folder / "initrd"
    initrd.write_bytes(_initrd(kernel, packages.unpacked("busybox-static"), modules, command))
    share = "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
    machine = ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1500", "-nic", "none"]
    boot = ["-kernel", str(kernel.image), "-initrd", str(initrd), "-append", "console=ttyS0 quiet panic=-1"]
    order = ["qemu-system-x86_64", *machine, *boot, "-virtfs", share, "-nographic", "-no-reboot"]
    done = subprocess.run(
        order,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=patience_s,
        check=False,
    )
    return done.stdout.decode(errors="replace")


def _initrd(kernel: Kernel, busybox: Path, modules: Sequence[str], command: str) -> bytes:
    entries = [cpio.directory(name) for name in ("proc", "sys", "dev", "host", "modules")]
    entries.append(cpio.character_device("dev/console", 5, 1))
    program = (busybox / "bin/busybox").read_bytes()
    entries.append(cpio.regular("bin/busybox", program, executable=True))
    for n, module in enumerate(kernel.modules((*_OWN, *modules))):
        entries.append(cpio.regular(f"modules/{n:03}-{module.name}.ko", module.data))
    script = f'{command}\necho "{ENDED}$?"\n'
    entries.append(cpio.regular("command", script.encode()))
    entries.append(cpio.regular("init", _INIT.encode(), executable=True))
    return cpio.pack(entries)
