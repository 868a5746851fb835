"""Power over QEMU machines through their QMP socket, which the host's setting ``power-qmp`` names.

A machine that is off is a QEMU that stands before its firmware's first instruction
(``prelaunch``, as after ``-S``): its process stays, so that it can be switched on again.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from bootd.drivers.power import qmp
from bootd.drivers.power.base import Power, PowerRefused, PowerState, PowerUnreachable, ResetKind
from bootd.model import Host

SETTING = "power-qmp"
CTRL_ALT_DEL = ("ctrl", "alt", "delete")

# `shutdown`: the guest switched itself off under -no-shutdown.
_OFF = frozenset({"prelaunch", "shutdown"})
# `paused`: somebody's `stop`, perhaps our own of an `off` that was cut off before its reset.
_STANDING = frozenset({"prelaunch", "paused"})
_POLLS, _POLL_S = 100, 0.05  # for QEMU to carry out a reset that it has taken


class QemuPower(Power):
    """One QEMU process a machine; one that does not run is out of reach, neither on nor off."""

    def state(self, node: Host) -> PowerState:
        return PowerState.OFF if self._status(node) in _OFF else PowerState.ON

    def on(self, node: Host) -> None:
        status = self._status(node)
        if status == "shutdown":
            self._tell(node, "system_reset")
            self._until(node, {"prelaunch"})
            status = "prelaunch"
        if status in _STANDING:
            self._tell(node, "cont")

    def off(self, node: Host) -> None:
        if self._status(node) in _OFF:
            return
        self._tell(node, "stop")
        self._tell(node, "system_reset")
        self._until(node, _OFF)

    def _reset(self, node: Host, kind: ResetKind) -> None:
        if kind is ResetKind.SOFT:
            keys = [{"type": "qcode", "data": key} for key in CTRL_ALT_DEL]
            self._tell(node, "send-key", keys=keys)
        else:
            self._tell(node, "system_reset")

    def _until(self, node: Host, wanted: Collection[str]) -> None:
        """Wait until the reset has happened: QEMU answers when it has taken the order, not before."""
        status = self._status(node)
        for _ in range(_POLLS):
            if status in wanted:
                return
            self._tools.wait(_POLL_S)
            status = self._status(node)
        raise PowerUnreachable(node.name, f"its QEMU stays {status} after a reset")

    def _status(self, node: Host) -> str:
        answer = self._tell(node, "query-status")
        return str(answer.get("status", "")) if isinstance(answer, dict) else ""

    def _tell(self, node: Host, command: str, **arguments: Any) -> Any:
        path = node.settings.get(SETTING, "")
        if not path:
            raise PowerRefused(node.name, f"has no setting {SETTING!r}")
        try:
            return qmp.execute(Path(path), command, **arguments)
        except qmp.QmpRefused as error:
            raise PowerRefused(node.name, f"{command}: {error}") from error
        except qmp.QmpError as error:
            raise PowerUnreachable(node.name, str(error)) from error
