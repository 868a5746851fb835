"""Power by commands that the site has: ipmitool, a PDU's client, a script of its own.

A host's settings hold one template per verb: ``power-on``, ``power-off``, ``power-reset``,
``power-soft-reset``, ``power-state``, ``power-boot-once``, and ``power-timeout`` in seconds.

    power=shell
    power-on=ipmitool -H {bmc} -U admin -f /etc/bootd/ipmi chassis power on
    power-state=ipmitool -H {bmc} -U admin -f /etc/bootd/ipmi chassis power status
"""

import os
import re
import shlex
import signal
import subprocess

from bootd.drivers.power.base import Power, PowerRefused, PowerState, PowerUnreachable, ResetKind
from bootd.model import Host

TIMEOUT_S = 30.0
LAST_WORDS_S = 1.0  # for the output of a command that was ended
OUTPUT_KEPT = 2000  # characters, the last ones

# Exit statuses that say "never", after sysexits.h: usage, no such host, no permission, configuration.
PERMANENT = frozenset({64, 68, 77, 78})

_PLACE = re.compile(r"\{([a-z][a-z0-9_-]*)\}")


class ShellPower(Power):
    """One command a verb, started directly: no shell reads it, so a value stays one word whatever is in it.

    The commands have to do what the interface asks of the verbs: ``power-on`` leaves a
    machine alone that is on. ``power-state`` says ``on`` or ``off`` as its last word;
    without it states are unknown.
    """

    def state(self, node: Host) -> PowerState:
        if not node.settings.get("power-state"):
            return PowerState.UNKNOWN
        output = self._run(node, "power-state")
        word = (output.split() or [""])[-1].strip(".'\"").lower()
        if word not in (PowerState.ON, PowerState.OFF):
            raise PowerUnreachable(node.name, "power-state said neither on nor off at its end", output)
        return PowerState(word)

    def on(self, node: Host) -> None:
        self._run(node, "power-on")

    def off(self, node: Host) -> None:
        self._run(node, "power-off")

    def _reset(self, node: Host, kind: ResetKind) -> None:
        self._run(node, "power-reset" if kind is ResetKind.HARD else "power-soft-reset")

    def boot_once(self, node: Host) -> None:
        self._run(node, "power-boot-once")

    def _run(self, node: Host, setting: str) -> str:
        """Return what the command said."""
        argv = words(node, setting)
        limit_s = _timeout_s(node)
        try:
            # Its own session, so that its children can be ended with it.
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise PowerRefused(node.name, f"{setting}: {argv[0]}: {reason}") from error
        with child:
            try:
                output, _ = child.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired as error:
                reason = f"{setting}: no end within {limit_s:g} s"
                raise PowerUnreachable(node.name, reason, _tail(_end(child))) from error
        if child.returncode != 0:
            kind = PowerRefused if child.returncode in PERMANENT else PowerUnreachable
            raise kind(node.name, f"{setting}: exit status {child.returncode}", _tail(output))
        return output


def words(node: Host, setting: str) -> list[str]:
    """Return the command of the host's *setting*, its places filled; raises `PowerRefused`.

    ``{name}``, ``{mac}``, ``{ip}`` and ``{number}`` are the host's, any other name one
    of its settings. The template is cut into words before the places are filled.
    """
    template = node.settings.get(setting, "")
    if not template:
        raise PowerRefused(node.name, f"has no setting {setting!r}")
    try:
        cut = shlex.split(template)
    except ValueError as error:
        raise PowerRefused(node.name, f"{setting}: {error}") from error
    if not cut:
        raise PowerRefused(node.name, f"{setting} is empty")
    return [_PLACE.sub(lambda place: _value(node, setting, place[1]), word) for word in cut]


def _value(node: Host, setting: str, key: str) -> str:
    facts = {"name": node.name, "mac": node.mac, "ip": node.ip, "number": node.number}
    value = facts[key] if key in facts else node.settings.get(key)
    if value is None:
        raise PowerRefused(node.name, f"{setting} wants {{{key}}}, which the host does not have")
    return str(value)


def _timeout_s(node: Host) -> float:
    text = node.settings.get("power-timeout", "")
    try:
        seconds = float(text) if text else TIMEOUT_S
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise PowerRefused(node.name, f"power-timeout={text!r} is not a number of seconds up to 600")
    return seconds


def _end(child: subprocess.Popen[str]) -> str:
    """Kill *child* and its children; return what they said."""
    os.killpg(child.pid, signal.SIGKILL)
    try:
        return child.communicate(timeout=LAST_WORDS_S)[0]
    except subprocess.TimeoutExpired:
        return ""  # one of them left the session and holds the pipe: it is not waited for


def _tail(output: str) -> str:
    return output.strip()[-OUTPUT_KEPT:]
