"""The two families of mistakes: theirs (`WireError`) and ours (`LocalError`)."""


class NetbootError(Exception):
    """Base of everything this package raises on purpose."""


class WireError(NetbootError):
    """Bytes from the network that no rule allows.

    The only exception that escapes a decoder. *reason* is a stable slug
    (``"dhcp-truncated-option"``) fit for a counter; the message is for people.
    """

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason


class LocalError(NetbootError):
    """A value of our own that does not fit the wire: a bug or a bad configuration."""
