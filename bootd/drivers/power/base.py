"""The interface of power drivers."""

from abc import ABC, abstractmethod
from enum import StrEnum

from bootd.drivers.errors import DriverError
from bootd.drivers.tools import Tools
from bootd.model import Host

CYCLE_PAUSE_S = 5.0  # without current long enough for the supply's capacitors and the BMC to notice


class PowerState(StrEnum):
    """What a driver knows of a machine's power."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"  # the driver has no means of asking


class ResetKind(StrEnum):
    """How a machine is made to start again."""

    SOFT = "soft"  # its system is asked (Ctrl-Alt-Del, ACPI), and may not listen
    HARD = "hard"  # the reset line: it is not asked


class PowerError(DriverError):
    """Base: power over *node* was not had; *output* is what the driver's own means said, if anything."""

    def __init__(self, node: str, reason: str, output: str = "") -> None:
        super().__init__(f"{node}: {reason}" + (f"\n{output}" if output else ""))
        self.node, self.reason, self.output = node, reason, output


class PowerRefused(PowerError):
    """The same call will be refused again: a setting is missing, or the machine cannot do this."""

    code = "power-refused"


class PowerUnreachable(PowerError):
    """No answer, or not the one hoped for. Try again: whether the deed was done is not known."""

    code = "power-unreachable"
    is_permanent = False


class Power(ABC):
    """Power over machines by one means.

    Every method may be called from any thread, for different machines at the same
    time; calls for one machine are the caller's to put in order (a worker holds its
    lease). Each blocks until the switch has taken the order, seconds at most, and says
    nothing about the operating system: that a machine is up, only the machine says.

    Any call may be repeated after `PowerUnreachable`, and after our own process was
    killed in it: `on` and `off` name the state that is wanted, and a second `reset` or
    `cycle` only starts the machine once more. Errors are `PowerRefused` (permanent) and
    `PowerUnreachable` (try again), no others.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @abstractmethod
    def state(self, node: Host) -> PowerState:
        """Return the machine's state as the switch tells it now; changes nothing."""

    @abstractmethod
    def on(self, node: Host) -> None:
        """Have the machine on. One that is on stays on and is not started again."""

    @abstractmethod
    def off(self, node: Host) -> None:
        """Have the machine off, without asking its system. One that is off stays off."""

    def reset(self, node: Host, kind: ResetKind = ResetKind.HARD) -> None:
        """Make a machine that is on start again; one known to be off is refused, `cycle` starts both.

        A soft reset that its system does not listen to is no error: it shows only in
        the machine not coming up.
        """
        if self.state(node) is PowerState.OFF:
            raise PowerRefused(node.name, "is off, a reset would not start it; cycle its power")
        self._reset(node, kind)

    @abstractmethod
    def _reset(self, node: Host, kind: ResetKind) -> None:
        """Reset a machine that is not known to be off."""

    def cycle(self, node: Host, pause_s: float = CYCLE_PAUSE_S) -> None:
        """Have the machine off for *pause_s*, then on. Fails, or is killed, with the machine off at worst."""
        self.off(node)
        self._tools.wait(pause_s)
        self.on(node)

    def boot_once(self, node: Host) -> None:
        """Have the machine's next start, and only that, begin on the network.

        Optional: refused by drivers that cannot. The order of boot devices that the
        machine has otherwise is not touched.
        """
        raise PowerRefused(node.name, "its power driver cannot choose the boot device")
