"""Which machine a person means: a name of the host table, or the MAC address of any machine."""

from collections.abc import Callable, Iterable

from bootd.errors import NotFound
from bootd.formats.fields import nearest
from bootd.model import Host
from netboot.errors import LocalError
from netboot.hwaddr import parse_mac


def find_machine(
    text: str, host: Callable[[str], Host | None], names: Callable[[], Iterable[str]]
) -> tuple[str, str | None]:
    """Return the MAC address *text* means, and the name where it is that of a host.

    *names* is asked for near misses only. Raises `NotFound`.
    """
    found = host(text)
    if found is not None:
        return found.mac, found.name
    try:
        return parse_mac(text), None
    except LocalError:
        hint = nearest(text, names()).removeprefix("; ")
        raise NotFound("host", text, hint or "give a name of `bootd hosts list` or a MAC address") from None
