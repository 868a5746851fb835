"""What a transport may answer instead of carrying an image."""

from bootd.drivers.errors import DriverError


class TransportError(DriverError):
    """Base: something was not done for *session* ("" where the transport as a whole is meant)."""

    def __init__(self, session: str, reason: str) -> None:
        super().__init__(f"session {session}: {reason}" if session else reason)
        self.session, self.reason = session, reason


class TransportRefused(TransportError):
    """The same call will be refused again; nothing was changed."""

    code = "transport-refused"


class SessionMissing(TransportRefused):
    """The transport knows no such session: never started, or ended before our process was started again."""

    code = "transport-session-missing"

    def __init__(self, session: str) -> None:
        super().__init__(session, "there is none of that name")


class TransportUnreachable(TransportError):
    """No answer, or a failure on its side. Try again: whether the deed was done is not known."""

    code = "transport-unreachable"
    is_permanent = False
