"""What systemd wants to hear of a service (sd_notify(3)): ready, stopping, still alive."""

import os
import socket


def notify(state: str) -> bool:
    """Send *state* (``READY=1``, ``STOPPING=1``, ``WATCHDOG=1``); False where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return False  # the supervisor is gone or deaf: not a reason to stop serving
    return True


def watchdog_interval() -> float | None:
    """Return how often to send ``WATCHDOG=1``: half of what the unit allows, in seconds; None without one."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    seconds = int(microseconds) / 2e6 if microseconds.isdecimal() else 0.0
    return seconds if watched and seconds > 0 else None
