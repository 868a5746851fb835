"""The host table through its services: all or nothing, and back again."""

from collections.abc import Iterator

import pytest

from bootd.errors import BadText, BadValue, Conflict, NotFound, Refused
from bootd.formats import find_format
from bootd.model import Assignment, Role, Target, TargetKind
from bootd.services import hosts
from bootd.services.hosts import Given, HostEdit
from bootd.services.hosttable import Plan
from bootd.store import Store
from tests.helpers.site import NOON, a_host, memory_store

LOCAL = Target(TargetKind.LOCAL)
TABLE = """\
# ours
52:54:00:00:00:01 10.0.0.1 1 no   # first
52:54:00:00:00:02 10.0.0.2 2 no
"""


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as opened:
        yield opened


def given(text: str, name: str = "ssitab") -> Given:
    return Given(text, "table", find_format(name))


def imported(store: Store, text: str = TABLE, **how: bool) -> Plan:
    return hosts.import_table(store, "anna", given(text), **how)


def test_a_host_is_added_with_everything_that_was_given(store: Store) -> None:
    edit = HostEdit(
        "x", "5254.0000.0001", "10.0.0.1", "1", "mesh", "/dev/sda", ("a", "a", "b"), (), {"rack": "4"}
    )
    expected = a_host(
        1, name="x", role=Role.MESH, local_boot="/dev/sda", groups=("a", "b"), settings={"rack": "4"}
    )
    assert hosts.add(store, "anna", edit) == expected
    assert store.hosts() == [expected]


def test_a_name_that_is_taken_is_refused_with_the_way_out(store: Store) -> None:
    hosts.add(store, "anna", HostEdit("x", "52:54:00:00:00:01"))
    with pytest.raises(Refused, match="bootd hosts set x"):
        hosts.add(store, "anna", HostEdit("x", "52:54:00:00:00:02"))


def test_an_address_that_is_taken_is_a_conflict(store: Store) -> None:
    hosts.add(store, "anna", HostEdit("x", "52:54:00:00:00:01"))
    with pytest.raises(Conflict, match="belongs to host 'x'"):
        hosts.add(store, "anna", HostEdit("y", "52:54:00:00:00:01"))


def test_a_uuid_belongs_to_one_host(store: Store) -> None:
    uuid = {"uuid": "4C4C4544-0000-1000-8000-000000000001"}
    hosts.add(store, "anna", HostEdit("x", "52:54:00:00:00:01", settings=uuid))
    with pytest.raises(Conflict, match="uuid '4c4c4544"):
        hosts.add(store, "anna", HostEdit("y", "52:54:00:00:00:02", settings=uuid))
    hosts.set_fields(store, "anna", "x", HostEdit(settings=uuid))


@pytest.mark.parametrize(
    "edit",
    [
        HostEdit("a/b", "52:54:00:00:00:01"),
        HostEdit("x", "53:54:00:00:00:01"),
        HostEdit("x", "52:54:00:00:00:01", ip="300.1.1.1"),
        HostEdit("x", "52:54:00:00:00:01", number="-1"),
        HostEdit("x", "52:54:00:00:00:01", role="king"),
        HostEdit("x", "52:54:00:00:00:01", local_boot="sda"),
        HostEdit("x", "52:54:00:00:00:01", add_groups=("a,b",)),
        HostEdit("x", "52:54:00:00:00:01", settings={"ipxe": "maybe"}),
        HostEdit("x", "52:54:00:00:00:01", settings={"power": "ipmi"}),
        HostEdit("x", "52:54:00:00:00:01", settings={"mac": "x"}),
        HostEdit("x", "52:54:00:00:00:01", settings={"loader": "two words.efi"}),
        HostEdit("x", "52:54:00:00:00:01", settings={"loader": "../up.efi"}),
    ],
)
def test_a_value_that_does_not_fit_is_refused(store: Store, edit: HostEdit) -> None:
    with pytest.raises(BadValue):
        hosts.add(store, "anna", edit)
    assert store.hosts() == []


def test_only_given_fields_change(store: Store) -> None:
    imported(store)
    hosts.set_fields(store, "anna", "@all", HostEdit(role="root", settings={"rack": "4"}))
    hosts.set_fields(store, "anna", "node1", HostEdit(ip="", add_groups=("g",), settings={"rack": ""}))
    assert store.hosts() == [
        a_host(1, ip=None, role=Role.ROOT, groups=("g",)),
        a_host(2, role=Role.ROOT, settings={"rack": "4"}),
    ]


def test_one_address_is_not_given_to_many(store: Store) -> None:
    imported(store)
    with pytest.raises(Refused, match="names 2 hosts"):
        hosts.set_fields(store, "anna", "@all", HostEdit(ip="10.0.0.9"))


def test_a_renamed_host_keeps_what_it_boots(store: Store) -> None:
    imported(store)
    with store.transaction("anna") as change:
        change.put_assignment(Assignment("node1", LOCAL, NOON))
    hosts.set_fields(store, "anna", "node1", HostEdit(name="head"))
    assert store.assignments() == [Assignment("head", LOCAL, NOON)]
    assert store.host("node1") is None


def test_a_host_is_not_renamed_onto_another(store: Store) -> None:
    imported(store)
    with pytest.raises(Conflict):
        hosts.set_fields(store, "anna", "node1", HostEdit(name="node2"))
    assert [host.name for host in store.hosts()] == ["node1", "node2"]


def test_removing_says_which_orders_go_along(store: Store) -> None:
    imported(store)
    with store.transaction("anna") as change:
        change.put_assignment(Assignment("node1", LOCAL, NOON))
    told = hosts.remove(store, "anna", "@all", dry_run=True)
    assert [(each.host.name, each.orders) for each in told] == [("node1", ("local",)), ("node2", ())]
    assert len(store.hosts()) == 2
    assert hosts.remove(store, "anna", "@all") == told
    assert store.hosts() == []


def test_removing_an_unknown_host_removes_none(store: Store) -> None:
    imported(store)
    with pytest.raises(NotFound):
        hosts.remove(store, "anna", "node1,ghost")
    assert len(store.hosts()) == 2


def test_comments_and_order_survive_import_and_export(store: Store) -> None:
    text = "# b first\n52:54:00:00:00:02 10.0.0.2 2 no\n\n52-54-00-00-00-01  10.0.0.1  1  n # a\n"
    imported(store, text)
    assert hosts.export_table(store) == text


def test_an_export_shows_changes_made_since(store: Store) -> None:
    imported(store)
    hosts.set_fields(store, "anna", "node1", HostEdit(ip="10.0.0.100"))
    hosts.add(store, "anna", HostEdit("new", "52:54:00:00:00:03"))
    lines = hosts.export_table(store).split("\n")
    assert lines[1] == "52:54:00:00:00:01 10.0.0.100 1 no # first"
    assert lines[3].endswith("name=new")


def test_a_mistake_imports_nothing(store: Store) -> None:
    with pytest.raises(BadText):
        imported(store, TABLE + "nonsense\n")
    assert (store.hosts(), store.document(hosts.LAYOUT), store.generation()) == ([], None, 0)


def test_a_conflict_with_the_table_imports_nothing(store: Store) -> None:
    hosts.add(store, "anna", HostEdit("x", "52:54:00:00:00:77", ip="10.0.0.2"))
    with pytest.raises(BadText, match=r"table:3: IP address 10\.0\.0\.2 belongs to host x"):
        imported(store)
    assert [host.name for host in store.hosts()] == ["x"]


def test_a_dry_run_writes_nothing(store: Store) -> None:
    assert len(imported(store, dry_run=True).added) == 2
    assert store.generation() == 0


def test_merging_keeps_other_hosts_and_replacing_does_not(store: Store) -> None:
    imported(store)
    third = "52:54:00:00:00:03 10.0.0.3 3 no\n"
    assert imported(store, third).summary == "1 added, 0 changed, 0 removed, 2 unchanged"
    assert imported(store, third, replace_all=True).summary == "0 added, 0 changed, 2 removed, 1 unchanged"
    assert hosts.export_table(store) == third


def test_replacing_all_with_nothing_is_refused(store: Store) -> None:
    imported(store)
    with pytest.raises(Refused, match="removes all 2"):
        imported(store, "# nothing\n", replace_all=True)


def test_the_same_table_twice_changes_nothing(store: Store) -> None:
    imported(store)
    generation = store.generation()
    assert not imported(store)
    assert store.generation() == generation


def test_csv_leaves_the_layout_of_ssitab_alone(store: Store) -> None:
    imported(store)
    text = hosts.export_table(store, "csv").replace("10.0.0.2", "10.0.0.22")
    hosts.import_table(store, "anna", given(text, "csv"))
    assert hosts.export_table(store) == TABLE.replace("10.0.0.2 ", "10.0.0.22 ")


def test_an_edit_of_a_table_that_changed_meanwhile_is_refused(store: Store) -> None:
    imported(store)
    seen = hosts.fingerprint(store.hosts())
    hosts.set_fields(store, "ben", "node2", HostEdit(role="mesh"))
    with pytest.raises(Refused, match="somebody else"):
        hosts.import_table(store, "anna", given(TABLE), replace_all=True, expected=seen)


def test_undo_goes_back_step_by_step(store: Store) -> None:
    imported(store)
    hosts.set_fields(store, "anna", "node1", HostEdit(ip="10.0.0.9"))
    hosts.remove(store, "anna", "node2")
    hosts.undo(store, "anna")
    assert [host.ip for host in store.hosts()] == ["10.0.0.9", "10.0.0.2"]
    hosts.undo(store, "anna")
    assert [host.ip for host in store.hosts()] == ["10.0.0.1", "10.0.0.2"]
    hosts.undo(store, "anna")
    assert (store.hosts(), store.document(hosts.LAYOUT)) == ([], None)
    with pytest.raises(Refused, match="left to undo"):
        hosts.undo(store, "anna")


def test_a_change_after_an_undo_is_what_the_next_undo_takes_back(store: Store) -> None:
    imported(store)
    hosts.remove(store, "anna", "node2")
    hosts.undo(store, "anna")
    hosts.set_fields(store, "anna", "node1", HostEdit(role="mesh"))
    hosts.undo(store, "anna")
    assert store.hosts() == [a_host(1), a_host(2)]
    hosts.undo(store, "anna")
    assert store.hosts() == []


def test_undoing_a_rename_gives_the_orders_back(store: Store) -> None:
    imported(store)
    with store.transaction("anna", "boot") as change:
        change.put_assignment(Assignment("node1", LOCAL, NOON))
    hosts.set_fields(store, "anna", "node1", HostEdit(name="head"))
    hosts.undo(store, "anna")
    assert store.hosts() == [a_host(1), a_host(2)]
    assert store.assignments() == [Assignment("node1", LOCAL, NOON)]
