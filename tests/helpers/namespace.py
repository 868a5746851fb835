"""A network namespace of our own, and code that runs inside it."""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def need_root() -> None:
    """Fail, and say how to run it: a test that did not run has proved nothing."""
    if os.geteuid() != 0:
        pytest.fail("this test makes network namespaces: run it as root (make test does, by sudo)")


class Namespace:
    """A namespace with loopback up and *address* on it."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address

    def command(self, *argv: str | Path) -> list[str]:
        """Return *argv*, to be run inside."""
        return ["ip", "netns", "exec", self.name, *map(str, argv)]

    def run(self, work: Callable[[], T]) -> T:
        """Do *work* on a thread that lives inside; return its result or raise its error."""
        outcome: list[T] = []
        failure: list[BaseException] = []

        def inside() -> None:
            try:
                with Path("/run/netns", self.name).open() as handle:
                    if _LIBC.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                outcome.append(work())
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                failure.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]


@contextmanager
def namespace(address: str = "10.99.7.1") -> Iterator[Namespace]:
    """Make a namespace, and remove it whatever happens."""
    need_root()
    name = f"bootd-test-{os.getpid()}-{os.urandom(2).hex()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", name, "addr", "add", f"{address}/24", "dev", "lo"], check=True)
        yield Namespace(name, address)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
