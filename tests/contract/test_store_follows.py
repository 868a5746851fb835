"""Whatever is changed, what follows the store ends with what a fresh look finds."""

from hypothesis import given
from hypothesis import strategies as st

from bootd.boot.snapshot import Policy, apply_changes
from bootd.model import Booked, DeployedNode, Deployment, LunClone, Reservation, Role
from bootd.store import Transaction, open_store
from tests.helpers.deeds import IMAGE, a_clone, a_deployment, a_node, a_project, a_reservation
from tests.helpers.site import NOON, HandClock

NODES = ("node1", "node2", "node3")
numbers = st.integers(1, 3)
nodes = st.sampled_from(NODES)
some_nodes = st.sets(nodes, min_size=1).map(lambda chosen: tuple(sorted(chosen)))
volumes = st.sampled_from(["", "a", "b"])

reservations = st.builds(
    lambda number, held, state: a_reservation(
        number, nodes=held, state=state, images=(Booked(Role.NONE, IMAGE),)
    ),
    numbers,
    some_nodes,
    st.sampled_from(["booked", "active", "ended", "cancelled", "failed"]),
)
deployments = st.builds(
    lambda number, reservation, held, state, flipped: a_deployment(
        number, reservation, nodes=held, state=state, flipped_at=flipped, note="why"
    ),
    numbers,
    numbers,
    some_nodes,
    st.sampled_from(["sched", "deploy-hd", "hd-ready", "run", "failed", "dark"]),
    st.sampled_from([None, NOON]),
)
deployed = st.builds(
    lambda node, deployment, state, volume: a_node(node, deployment, state=state, volume=volume),
    nodes,
    numbers,
    st.sampled_from(["waiting", "ready", "running", "failed"]),
    volumes,
)
clones = st.builds(
    lambda volume, node, target: a_clone(node, volume=volume, target=target),
    volumes,
    nodes,
    st.sampled_from(["", "iqn.2026-01.net.bootd:x"]),
)
keeps = st.one_of(reservations, deployments, deployed, clones)
discards = st.one_of(
    st.tuples(st.sampled_from([Reservation, Deployment]), numbers),
    st.tuples(st.just(DeployedNode), st.builds(lambda number, node: f"{number}/{node}", numbers, nodes)),
    st.tuples(st.just(LunClone), volumes),
)
deeds = st.one_of(keeps, discards)
histories = st.lists(st.lists(deeds, min_size=1, max_size=6), min_size=1, max_size=8)


def do(change: Transaction, deed: object) -> None:
    if isinstance(deed, tuple):
        change.discard(*deed)
    else:
        change.keep(deed)  # type: ignore[arg-type]


@given(histories)
def test_places_followed_change_by_change_are_those_of_a_fresh_look(
    history: list[list[object]],
) -> None:
    with open_store("sqlite://", clock=HandClock()) as store:
        with store.transaction("anna") as change:
            change.keep(a_project())
        followed = store.load_snapshot(Policy())
        for transaction in history:
            with store.transaction("anna") as change:
                for deed in transaction:
                    do(change, deed)
            followed = apply_changes(followed, store.changes_since(followed.generation))
            assert followed.places == store.places()
        assert followed == store.load_snapshot(Policy())
