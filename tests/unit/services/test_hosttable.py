"""Plans: what an import would change."""

import pytest

from bootd.errors import BadText
from bootd.formats import Row
from bootd.model import Host
from bootd.services.hosttable import Changed, Plan, describe, plan
from tests.helpers.site import a_host


def planned(current: list[Host], wanted: list[Host], *, replace: bool = False) -> Plan:
    rows = [Row(host, line) for line, host in enumerate(wanted, 1)]
    return plan(current, rows, replace=replace, source="table")


def test_new_same_changed_and_other_hosts_are_told_apart() -> None:
    changed = a_host(2, ip="10.0.0.22")
    made = planned([a_host(1), a_host(2), a_host(3)], [a_host(1), changed, a_host(4)])
    assert made == Plan((a_host(4),), (Changed(a_host(2), changed),), (), unchanged=2)


def test_replacing_removes_hosts_without_a_row() -> None:
    made = planned([a_host(1), a_host(2)], [a_host(1)], replace=True)
    assert made == Plan(removed=(a_host(2),), unchanged=1)


def test_a_known_mac_address_under_a_new_name_is_a_rename() -> None:
    head = a_host(1, name="head")
    assert planned([a_host(1)], [head]).changed == (Changed(a_host(1), head),)


def test_names_decide_where_two_hosts_swap_their_machines() -> None:
    one, two = a_host(1, mac=a_host(2).mac), a_host(2, mac=a_host(1).mac)
    assert planned([a_host(1), a_host(2)], [one, two]).changed == (
        Changed(a_host(1), one),
        Changed(a_host(2), two),
    )


def test_a_value_of_a_host_that_stays_is_a_mistake_with_its_line() -> None:
    with pytest.raises(BadText) as caught:
        planned([a_host(1), a_host(2)], [a_host(3), a_host(4, ip="10.0.0.1", number=2)])
    assert [(m.line, m.message) for m in caught.value.mistakes] == [
        (2, "IP address 10.0.0.1 belongs to host node1, which is in the table"),
        (2, "node number 2 belongs to host node2, which is in the table"),
    ]


def test_a_mac_address_of_a_host_that_another_row_names_is_a_mistake_unless_it_moves() -> None:
    taken = a_host(3, mac=a_host(1).mac)
    moved = a_host(1, mac="52:54:00:00:00:99")
    assert planned([a_host(1)], [moved, taken]).added == (taken,)


def test_replacing_frees_the_values_of_removed_hosts() -> None:
    made = planned([a_host(1)], [a_host(2, ip="10.0.0.1")], replace=True)
    assert (made.added, made.removed) == ((a_host(2, ip="10.0.0.1"),), (a_host(1),))


def test_a_plan_is_described_by_what_differs() -> None:
    before = a_host(2, groups=("a",), settings={"rack": "4"})
    made = planned([before, a_host(3)], [a_host(1), a_host(2, ip=None, local_boot="/dev/sda")], replace=True)
    assert describe(made) == [
        "+ node1  52:54:00:00:00:01  10.0.0.1",
        "~ node2  ip 10.0.0.2 → none, local-boot none → /dev/sda, groups a → none, rack 4 → none",
        "- node3  52:54:00:00:00:03  10.0.0.3",
    ]


def test_rows_that_share_a_line_mean_their_own_hosts() -> None:
    rows = [Row(a_host(1, ip="10.0.9.1"), 1), Row(a_host(2, ip="10.0.9.2"), 1)]
    made = plan([a_host(1), a_host(2)], rows, replace=False, source="table")
    assert [(pair.before, pair.after) for pair in made.changed] == [
        (a_host(1), rows[0].host),
        (a_host(2), rows[1].host),
    ]
