"""A sender that cannot be run says so and leaves nothing open."""

from pathlib import Path

import pytest

from bootd.drivers.source import BytesSource
from bootd.drivers.transport import Channel, Order, TransportUnreachable
from bootd.drivers.transport.sender import Sender
from bootd.drivers.transport.strays import LAUNCHER, PROGRAM, Strays

IMAGE = b"an image"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_program_that_cannot_be_run_leaves_no_pipe_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (PROGRAM, LAUNCHER[0]):
        program = tmp_path / name
        program.write_text("#!/nowhere/interpreter\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    order = Order("job1-1", BytesSource(IMAGE), ("node1",), Channel("239.1.1.1", 9000), 1_000_000)
    before = open_files()
    sender = Sender(order, iter([IMAGE]), "lo", lambda address: "node1", Strays(tmp_path / "strays"))
    with pytest.raises(TransportUnreachable, match="does not send"):
        sender.start()
    sender.stop("over")
    assert open_files() == before
