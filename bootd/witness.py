"""What is written down of what happens: steps of machines, words of nodes, strangers."""

from collections.abc import Callable, Collection

from bootd.boot.clients import Clients
from bootd.clock import Clock
from bootd.events import Event, ScriptSent
from bootd.services.observe import Observer, observation_of, sighting_of
from bootd.services.reports import heard_in


class Witness:
    """Hands events to the thread that writes; *ours* are the addresses of this machine that are served."""

    def __init__(
        self, observer: Observer, clients: Clients, ours: Callable[[], Collection[str]], clock: Clock
    ) -> None:
        self._observer, self._clients, self._ours, self._clock = observer, clients, ours, clock

    def take(self, event: Event) -> None:
        """Write down what *event* says, if it is something to keep."""
        now = self._clock()
        itself = not isinstance(event, ScriptSent) or self._is_from(event.client, event.mac)
        observation = observation_of(event, now, itself=itself)
        if observation is not None:
            self._observer.record(observation)
        word = heard_in(event, now, itself=itself)
        if word is not None:
            self._observer.heard(word)
        sighting = sighting_of(event, now)
        if sighting is not None:
            self._observer.sighting(sighting)

    def _is_from(self, client: str, mac: str) -> bool:
        """Tell whether *client* may be the machine itself: anyone may fetch anybody's script."""
        known = self._clients.on_link(client) or self._clients.mac_at(client)
        ours = client.startswith("127.") or client in self._ours()
        return known == mac if known else not ours
