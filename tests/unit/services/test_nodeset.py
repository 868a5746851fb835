"""Node sets: which hosts a text names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.errors import BadValue, NotFound
from bootd.model import Role
from bootd.services import nodeset
from tests.helpers.site import a_host

HOSTS = [
    a_host(1, name="node01", role=Role.ROOT, groups=("rack1",)),
    a_host(2, name="node02", role=Role.MESH, groups=("rack1", "gpu")),
    a_host(3, name="node03", role=Role.MESH),
    a_host(10, name="node10"),
    a_host(11, name="r1n1"),
    a_host(12, name="r1n2"),
]
ALL = [host.name for host in HOSTS]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("node01", ["node01"]),
        ("node[01-03]", ["node01", "node02", "node03"]),
        ("node[01-03,!02,10]", ["node01", "node03", "node10"]),
        ("node[03,01]", ["node03", "node01"]),
        ("r[1]n[1-2]", ["r1n1", "r1n2"]),
        ("@all", ALL),
        ("@role:mesh", ["node02", "node03"]),
        ("@rack1", ["node01", "node02"]),
        ("@group:gpu", ["node02"]),
        ("node01,@gpu,node01", ["node01", "node02"]),
        ("@all,!@rack1,!r1n[1-2]", ["node03", "node10"]),
        ("!node01", ALL[1:]),
        ("52-54-00-00-00-02", ["node02"]),
        (" node01 , node02 ", ["node01", "node02"]),
    ],
)
def test_a_text_names_these_hosts_in_this_order(text: str, names: list[str]) -> None:
    assert [host.name for host in nodeset.parse(text, HOSTS)] == names


def test_all_unknown_names_are_told() -> None:
    with pytest.raises(NotFound) as caught:
        nodeset.parse("node[01-05],nobody,!ghost", HOSTS)
    assert caught.value.key == "node04, node05, nobody, ghost"


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(NotFound, match="did you mean node01"):
        nodeset.parse("nod01", HOSTS)


def test_a_set_that_leaves_no_host_is_an_error() -> None:
    with pytest.raises(NotFound, match="no host in '@gpu,!node02'"):
        nodeset.parse("@gpu,!node02", HOSTS)
    with pytest.raises(NotFound):
        nodeset.parse("@all", [])


def test_an_unknown_mac_address_is_no_host() -> None:
    with pytest.raises(NotFound):
        nodeset.parse("52:54:00:00:00:99", HOSTS)


def test_a_group_without_members_is_an_error() -> None:
    with pytest.raises(NotFound, match="did you mean rack1"):
        nodeset.parse("@rack", HOSTS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "node[",
        "node01]",
        "node[]",
        "node[a-b]",
        "node[3-1]",
        "node[1-999999999]",
        "a,,b",
        "@role:x",
        "n[1-999]m[1-999]",
        "node[[1]]",
        "node[١]",
    ],
)
def test_what_is_no_node_set_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        nodeset.parse(text, HOSTS)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["node1"], "node1"),
        (["node10", "node9", "node8", "a"], "a,node[8-10]"),
        (["n01", "n02", "n04"], "n[01-02,04]"),
        (["r1n1", "r2n1", "r1n2"], "r1n[1-2],r2n1"),
        (["7", "8"], "[7-8]"),
        ([], ""),
    ],
)
def test_names_are_folded_into_a_short_text(names: list[str], text: str) -> None:
    assert nodeset.fold(names) == text


@given(st.sets(st.from_regex(r"[a-z]{1,2}[0-9]{0,3}", fullmatch=True), min_size=1, max_size=30))
def test_folded_names_are_read_back_as_the_same(names: set[str]) -> None:
    hosts = [a_host(n, name=name) for n, name in enumerate(sorted(names), 1)]
    assert {host.name for host in nodeset.parse(nodeset.fold(names), hosts)} == names
