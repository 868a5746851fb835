"""One budget for all sessions: what each may send, so that together they leave the network usable.

Rates are bit/s, whole numbers.
"""

from collections.abc import Mapping


def grant(
    total: int, running: Mapping[str, int], wishes: Mapping[str, int], floor: int = 1
) -> dict[str, int]:
    """Return the rates of those of *wishes* that may start while *running* goes on.

    A sender's rate is fixed when it starts, so what runs keeps its own; those missing
    from the answer wait until some of it has ended.
    """
    return share(max(0, total - sum(running.values())), wishes, floor)


def share(total: int, wishes: Mapping[str, int], floor: int = 1) -> dict[str, int]:
    """Return who of *wishes* (the most each could use) gets how much of *total*.

    In the order given as many are served as can have *floor* each, or their wish if
    that is less; who comes first does not wait for who comes later. Among them the
    rates are as equal as the wishes allow (max-min fair): sessions of the same size
    that start together end together.
    """
    if total < 0 or floor < 1 or any(wish < 1 for wish in wishes.values()):
        raise ValueError(f"a budget of {total}, at least {floor} each, for {dict(wishes)}")
    served = _served(total, wishes, floor)
    rates: dict[str, int] = {}
    left = total
    for done, (name, wish) in enumerate(sorted(served.items(), key=lambda item: item[1])):
        rates[name] = min(wish, left // (len(served) - done))
        left -= rates[name]
    return {name: rates[name] for name in served}


def _served(total: int, wishes: Mapping[str, int], floor: int) -> dict[str, int]:
    served: dict[str, int] = {}
    needed = 0
    for name, wish in wishes.items():
        needed += min(floor, wish)
        if needed > total:
            break
        served[name] = wish
    return served
