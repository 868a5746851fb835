"""QEMU machines in the states that a machine without a system never gets into."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootd.drivers.power import PowerRefused, PowerState, PowerUnreachable
from bootd.drivers.power.qemu import QemuPower
from bootd.drivers.tools import Tools
from tests.helpers.site import a_host


class Qemu:
    """Speaks QMP; its status changes as *after* says: command -> status."""

    def __init__(self, path: Path) -> None:
        self.status = "running"
        self.after: dict[str, str] = {}
        self.refuses: set[str] = set()
        self.orders: list[str] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection, connection.makefile("rwb") as stream:
                stream.write(b'{"QMP": {}}\n')
                stream.flush()
                for line in stream:
                    command = json.loads(line)["execute"]
                    if command == "test-ends":
                        return
                    stream.write(json.dumps(self._answer(command)).encode() + b"\n")
                    stream.flush()

    def _answer(self, command: str) -> dict[str, Any]:
        if command in self.refuses:
            return {"error": {"class": "GenericError", "desc": "not now"}}
        if command == "query-status":
            return {"return": {"status": self.status}}
        if command != "qmp_capabilities":
            self.orders.append(command)
        self.status = self.after.get(command, self.status)
        return {"return": {}}

    def end(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(path))
            last.sendall(b'{"execute": "test-ends"}\n')
            self._thread.join()
        self._server.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q"


@pytest.fixture
def qemu(path: Path) -> Iterator[Qemu]:
    qemu = Qemu(path)
    try:
        yield qemu
    finally:
        qemu.end(path)


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def power(tmp_path: Path, waited: list[float]) -> QemuPower:
    return QemuPower(Tools(tmp_path, wait=waited.append))


def test_a_machine_that_switched_itself_off_is_off_and_starts_from_its_firmware(
    power: QemuPower, qemu: Qemu, path: Path
) -> None:
    node = a_host(settings={"power-qmp": str(path)})
    qemu.status, qemu.after = "shutdown", {"system_reset": "prelaunch", "cont": "running"}
    assert power.state(node) is PowerState.OFF
    power.off(node)
    assert qemu.orders == []
    power.on(node)
    assert (qemu.orders, qemu.status) == (["system_reset", "cont"], "running")


def test_an_off_that_was_cut_off_after_its_stop_is_mended_by_on_and_by_off(
    power: QemuPower, qemu: Qemu, path: Path
) -> None:
    node = a_host(settings={"power-qmp": str(path)})
    qemu.status, qemu.after = "paused", {"cont": "running"}
    power.on(node)
    assert (qemu.orders, qemu.status) == (["cont"], "running")
    qemu.status, qemu.after = "paused", {"system_reset": "prelaunch"}
    power.off(node)
    assert power.state(node) is PowerState.OFF


def test_a_crashed_guest_is_on_and_can_be_switched_off(power: QemuPower, qemu: Qemu, path: Path) -> None:
    node = a_host(settings={"power-qmp": str(path)})
    qemu.status, qemu.after = "guest-panicked", {"system_reset": "prelaunch"}
    assert power.state(node) is PowerState.ON
    power.off(node)
    assert qemu.orders == ["stop", "system_reset"]


def test_a_reset_that_never_happens_is_told_after_a_while(
    power: QemuPower, qemu: Qemu, path: Path, waited: list[float]
) -> None:
    qemu.after = {"stop": "paused"}
    with pytest.raises(PowerUnreachable, match="node1: its QEMU stays paused"):
        power.off(a_host(settings={"power-qmp": str(path)}))
    assert sum(waited) == pytest.approx(5.0)


def test_a_reset_that_takes_its_time_is_waited_for(
    tmp_path: Path, qemu: Qemu, path: Path, waited: list[float]
) -> None:
    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            qemu.status = "prelaunch"

    QemuPower(Tools(tmp_path, wait=wait)).off(a_host(settings={"power-qmp": str(path)}))
    assert len(waited) == 3


def test_what_qemu_refuses_is_refused_in_its_words(power: QemuPower, qemu: Qemu, path: Path) -> None:
    qemu.refuses = {"system_reset"}
    with pytest.raises(PowerRefused, match="node1: system_reset: QEMU refuses: not now"):
        power.reset(a_host(settings={"power-qmp": str(path)}))


def test_a_machine_without_a_socket_is_refused(power: QemuPower) -> None:
    with pytest.raises(PowerRefused, match="has no setting 'power-qmp'"):
        power.state(a_host())
