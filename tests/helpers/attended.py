"""A transport with receivers that come as soon as a session is there."""

from collections.abc import Callable

from bootd.drivers.transport import Order, SessionStatus, Transport, Way


class Attended(Transport):
    """Passes everything on to *inner*; *come* is called once for each receiver of a session that is there."""

    def __init__(
        self,
        inner: Transport,
        come: Callable[[str, str, Way], None],
        start: Callable[[Order], None] | None = None,
    ) -> None:
        self._inner, self._come = inner, come
        self._start = start or inner.start  # in a namespace, say

    def start(self, order: Order) -> None:
        self._start(order)
        for node in order.receivers:
            self._come(order.id, node, self._inner.way(order.id, node))

    def status(self, session: str) -> SessionStatus:
        return self._inner.status(session)

    def way(self, session: str, node: str) -> Way:
        return self._inner.way(session, node)

    def leave_out(self, session: str, node: str, why: str) -> None:
        self._inner.leave_out(session, node, why)

    def stop(self, session: str) -> None:
        self._inner.stop(session)

    def sessions(self) -> list[str]:
        return self._inner.sessions()
