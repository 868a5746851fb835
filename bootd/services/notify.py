"""The word to a running daemon that the store has changed; without a daemon nothing happens."""

import socket
from pathlib import Path

SOCKET = "poke.sock"  # unix datagram socket in the data folder; the daemon binds it


def poke(data_dir: Path) -> bool:
    """Tell the daemon of *data_dir* to look at the store; return whether one was listening.

    Never waits and never fails: the daemon looks by itself once in a while, this is to be quick.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        try:
            sender.sendto(b"changed", str(data_dir / SOCKET))
        except OSError:  # nobody there, no permission, its queue is full (then it looks anyway)
            return False
    return True
