"""Whatever is booked, moved, extended and taken back: no node is ever held twice."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.errors import BootdError
from bootd.model import Reservation
from bootd.services import reservations
from bootd.services.booking import LIVE
from bootd.store import Store
from tests.helpers.bookings import at, book, furnish
from tests.helpers.site import HandClock, memory_store

node_sets = st.sets(st.sampled_from(["node1", "node2", "node3", "node4"]), min_size=1).map(
    lambda names: ",".join(sorted(names))
)
hours = st.integers(0, 30)
numbers = st.integers(1, 12)
deeds = st.one_of(
    st.tuples(st.just("add"), hours, st.integers(1, 8), node_sets),
    st.tuples(st.just("move"), numbers, hours, st.none() | node_sets),
    st.tuples(st.just("extend"), numbers, hours),
    st.tuples(st.just("cancel"), numbers),
)


def do(store: Store, deed: tuple) -> bool:
    """Try one deed; return whether it was done."""
    clock = HandClock()
    try:
        match deed:
            case ("add", start, length, nodes):
                book(store, start, start + length, nodes)
            case ("move", number, start, nodes):
                reservations.move(store, "anna", number, clock=clock, starts_at=at(start), nodes=nodes)
            case ("extend", number, end):
                reservations.extend(store, "anna", number, at(end), clock=clock)
            case ("cancel", number):
                reservations.cancel(store, "anna", [number])
    except BootdError:
        return False
    return True


@settings(deadline=None, max_examples=60)
@given(st.lists(deeds, max_size=25), node_sets, st.integers(1, 6), hours, st.data())
def test_no_history_leaves_a_node_held_twice_and_next_free_is_right(
    history: list, nodes: str, length: int, after: int, data: st.DataObject
) -> None:
    with memory_store() as store:
        furnish(store)
        for deed in history:
            do(store, deed)
        live = [each for each in store.every(Reservation) if each.state in LIVE]
        for one, other in combinations(live, 2):
            shared = set(one.nodes) & set(other.nodes)
            assert not (shared and one.overlaps(other.starts_at, other.ends_at))
        names = nodes.split(",")
        count = data.draw(st.integers(1, len(names)))

        def could_begin(hour: int) -> bool:
            busy = {
                node for each in live if each.overlaps(at(hour), at(hour + length)) for node in each.nodes
            }
            return len(set(names) - busy) >= count

        free = reservations.next_free(store, nodes, length, at(after), count=count)
        first = next(hour for hour in range(after, 100) if could_begin(hour))
        assert (free.starts_at, len(free.nodes)) == (at(first), count)
        start = (free.starts_at - at(0)).total_seconds() / 3600
        assert book(store, start, start + length, ",".join(free.nodes), "orbit")
