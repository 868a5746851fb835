"""Boot orders: for good, once, taken back."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from bootd.boot.decide import Order
from bootd.errors import BadValue, NotFound, Refused
from bootd.model import Override, Target, TargetKind
from bootd.services.orders import Wish, order, parse_duration
from bootd.store import Store
from tests.helpers.site import NOON, HandClock, a_host, an_image, memory_store

LOCAL = Target(TargetKind.LOCAL)
DEBIAN = Target(TargetKind.MEMORY, "debian")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> Iterator[Store]:
    with memory_store(clock) as opened:
        with opened.transaction("anna") as change:
            change.put_hosts([a_host(1), a_host(2, local_boot="/dev/sda1")])
            change.put_memory_image(an_image())
        yield opened


def test_an_order_holds_for_every_host_of_the_set(store: Store, clock: HandClock) -> None:
    made = order(store, "anna", Wish("@all", "memory:debian"), clock=clock)
    assert [(each.before.rule, each.after) for each in made] == [
        ("nothing-assigned", Order("assigned", DEBIAN)),
        ("local-default", Order("assigned", DEBIAN)),
    ]
    assert [(each.host, each.target) for each in store.assignments()] == [
        ("node1", DEBIAN),
        ("node2", DEBIAN),
    ]


def test_once_expires_after_an_hour_and_leaves_the_standing_order(store: Store, clock: HandClock) -> None:
    order(store, "anna", Wish("node1", "local"), clock=clock)
    [made] = order(store, "anna", Wish("node1", "memory:debian", once=True), clock=clock)
    assert made.after == Order("once", DEBIAN, 1)
    assert (made.expires_at, made.later) == (NOON + timedelta(hours=1), Order("assigned", LOCAL))
    assert store.overrides() == [Override(1, "node1", DEBIAN, NOON, NOON + timedelta(hours=1))]


def test_each_host_gets_an_override_of_its_own(store: Store, clock: HandClock) -> None:
    for _ in range(2):
        order(store, "anna", Wish("@all", "memory:debian", True, timedelta(minutes=5)), clock=clock)
    assert [(each.id, each.host) for each in store.overrides()] == [(3, "node1"), (4, "node2")]


def test_a_standing_order_waits_behind_a_one_shot(store: Store, clock: HandClock) -> None:
    order(store, "anna", Wish("node1", "memory:debian", once=True), clock=clock)
    [made] = order(store, "anna", Wish("node1", "local"), clock=clock)
    assert (made.after.rule, made.later) == ("once", Order("assigned", LOCAL))
    clock.move(hours=2)
    [made] = order(store, "anna", Wish("node1", "local"), clock=clock)
    assert (made.before, made.after, made.later) == (*[Order("assigned", LOCAL)] * 2, None)


def test_default_takes_all_orders_back(store: Store, clock: HandClock) -> None:
    order(store, "anna", Wish("@all", "memory:debian"), clock=clock)
    order(store, "anna", Wish("@all", "memory:debian", once=True), clock=clock)
    made = order(store, "anna", Wish("@all", "default"), clock=clock)
    assert [each.after.rule for each in made] == ["nothing-assigned", "local-default"]
    assert (store.assignments(), store.overrides()) == ([], [])


def test_a_dry_run_says_what_would_hold_and_writes_nothing(store: Store, clock: HandClock) -> None:
    generation = store.generation()
    [made] = order(store, "anna", Wish("node1", "memory:debian", once=True), clock=clock, dry_run=True)
    assert made.after.target == DEBIAN
    assert store.generation() == generation


@pytest.mark.parametrize(
    ("wish", "error", "words"),
    [
        (Wish("node1", "memory:debain"), NotFound, "did you mean debian"),
        (Wish("node1", "memory:zzz"), NotFound, "known: debian"),
        (Wish("node1,ghost", "local"), NotFound, "ghost"),
        (Wish("node1", "disk"), BadValue, "memory:NAME, local or default"),
        (Wish("node1", "default", once=True), Refused, "leave --once away"),
    ],
)
def test_an_order_that_cannot_be_given_is_given_to_nobody(
    store: Store, clock: HandClock, wish: Wish, error: type[Exception], words: str
) -> None:
    generation = store.generation()
    with pytest.raises(error, match=words):
        order(store, "anna", wish, clock=clock)
    assert store.generation() == generation


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172800)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "h", "0m", "1", "-1h", "1w", "1.5h", "9999999d", "²h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_duration(text)


def test_bare_name_of_an_image_is_answered_with_what_was_meant(store: Store, clock: HandClock) -> None:
    with pytest.raises(BadValue, match=r"did you mean memory:debian\?"):
        order(store, "anna", Wish("node1", "debian"), clock=clock)
