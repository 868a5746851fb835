"""The folder in which Linux's own target (LIO) is told what to do."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from bootd.drivers.lun.lio_plan import Link, Make, Step, Unlink, Where, Write

ROOT = Path("/sys/kernel/config/target")


class Configfs:
    """Paths are below *root*. Raises `OSError`, as the kernel says it."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    def is_there(self) -> bool:
        """Tell whether this kernel has the target, and its module is loaded."""
        return (self.root / "core").is_dir()

    def do(self, steps: Iterable[Step]) -> None:
        """Take each step; what is there already, or gone, is left so."""
        for step in steps:
            if isinstance(step, Make):
                self.make(step.path)
            elif isinstance(step, Write):
                self.write(step.path, step.text)
            elif isinstance(step, Link):
                self.link(step.path, step.to)
            elif isinstance(step, Unlink):
                self.unlink(step.path)
            else:
                self.remove(step.path)

    def folders(self, path: Where) -> list[str]:
        """Return the folders in *path*; none where it is not there."""
        try:
            return sorted(entry.name for entry in os.scandir(self.root / path) if entry.is_dir())
        except FileNotFoundError:
            return []

    def read(self, path: Where) -> str:
        """Return the text of a file without the line's end; "" where it is not there."""
        try:
            return (self.root / path).read_text().strip("\n\0")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            return ""

    def make(self, path: Where) -> None:
        (self.root / path).mkdir(exist_ok=True)

    def write(self, path: Where, text: str) -> None:
        """Write in one call, as the kernel takes it; the file must be there."""
        name = str(self.root / path)
        handle = os.open(name, os.O_WRONLY)
        try:
            os.write(handle, text.encode())
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from error  # it says what, not where
        finally:
            os.close(handle)

    def link(self, path: Where, to: Where) -> None:
        if not (self.root / path).is_symlink():
            (self.root / path).symlink_to(self.root / to)

    def unlink(self, path: Where) -> None:
        (self.root / path).unlink(missing_ok=True)

    def remove(self, path: Where) -> None:
        try:
            (self.root / path).rmdir()
        except FileNotFoundError:
            return
