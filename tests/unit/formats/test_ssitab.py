"""ssitab: what a line means, every mistake at once, and exports that respect a person's hand."""

from dataclasses import replace

import pytest

from bootd.errors import BadText
from bootd.formats import ssitab
from bootd.model import Host, Role
from tests.helpers.site import a_host

TABLE = """\
# the small cluster
52:54:00:00:00:01  10.0.0.1   1  yes  /dev/sda1   role=root    # the head node

52-54-00-00-00-02  10.0.0.2   2  N                groups=a,b   rack="4 left"
"""


def hosts_of(text: str) -> list[Host]:
    return [row.host for row in ssitab.parse(text)]


def mistakes_of(text: str) -> list[tuple[int, str]]:
    with pytest.raises(BadText) as caught:
        ssitab.parse(text, "table")
    return [(mistake.line, mistake.message) for mistake in caught.value.mistakes]


def test_a_table_is_read_with_its_lines() -> None:
    rows = ssitab.parse(TABLE)
    assert [row.line for row in rows] == [2, 4]
    assert rows[0].host == a_host(1, role=Role.ROOT, local_boot="/dev/sda1")
    assert rows[1].host == a_host(2, groups=("a", "b"), settings={"rack": "4 left"})


def test_the_name_is_node_and_number_unless_given() -> None:
    line = "52:54:00:00:00:07 10.0.0.7 7 no"
    assert hosts_of(line)[0].name == "node7"
    assert hosts_of(line + " name=head")[0].name == "head"


@pytest.mark.parametrize("word", ["yes", "y", "1", "YES"])
def test_words_for_local_boot(word: str) -> None:
    assert hosts_of(f"52:54:00:00:00:07 10.0.0.7 7 {word} /dev/sda")[0].local_boot == "/dev/sda"


@pytest.mark.parametrize("word", ["no", "n", "0", "No"])
def test_words_against_local_boot(word: str) -> None:
    assert hosts_of(f"52:54:00:00:00:07 10.0.0.7 7 {word}")[0].local_boot is None


def test_a_device_after_no_is_remembered() -> None:
    line = "52:54:00:00:00:07 10.0.0.7 7 no /dev/sda1"
    host = hosts_of(line)[0]
    assert (host.local_boot, host.settings) == (None, {"boot-device": "/dev/sda1"})
    assert hosts_of(ssitab.format_hosts([host])) == [host]


def test_a_dash_is_an_address_or_number_not_known() -> None:
    host = hosts_of("52:54:00:00:00:07 - - no name=x")[0]
    assert (host.ip, host.number) == (None, None)


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter() -> None:
    assert hosts_of("\ufeff" + TABLE.replace("\n", "\r\n")) == hosts_of(TABLE)


def test_every_mistake_of_a_file_is_told_with_its_line() -> None:
    text = """\
52:54:00:00:00:01 10.0.0.1 1 yes
52:54:00:00:00:0g 10.0.0.300 0 perhaps
# fine
52:54:00:00:00:03 10.0.0.3
52:54:00:00:00:04 10.0.0.4 4 no role=boss uuid=7 Bad=1 x= x=2
52:54:00:00:00:05 10.0.0.5 5 no name=a/b foo bar
52:54:00:00:00:06 10.0.0.6 6 no note="open
- - - no
ff:ff:ff:ff:ff:ff 224.0.0.1 8 yes sda1
"""
    assert mistakes_of(text) == [
        (1, "a node that boots locally must name its BOOT-DEVICE, such as /dev/sda1"),
        (2, "LOCAL-BOOT: 'perhaps' is not yes or no"),
        (2, "MAC address: '52:54:00:00:00:0g' is not six octets such as 52:54:00:12:34:56"),
        (2, "IP address: '10.0.0.300' is not an IPv4 address such as 10.0.0.7"),
        (2, "node number: '0' is not a number from 1 to 65535"),
        (4, "NODE-NUMBER LOCAL-BOOT missing; a line is MAC IP NODE-NUMBER LOCAL-BOOT …"),
        (4, "a name or a node number is needed"),
        (5, "x= is there twice"),
        (5, "role: 'boss' is not one of root, mesh"),
        (5, "setting uuid: '7' is not a UUID"),
        (5, "setting: 'Bad' is not a lower-case word such as 'ipxe' or 'rack-unit'"),
        (5, "setting x: '' is not a value"),
        (6, "'bar' is one column too many; other facts are written key=value"),
        (6, "host name: 'a/b' is not letters, digits, '.', '-' and '_' (at most 64)"),
        (7, 'a double quote is not closed: "open'),
        (8, "MAC address: '' is not six octets such as 52:54:00:12:34:56"),
        (8, "a name or a node number is needed"),
        (9, "MAC address: 'ff:ff:ff:ff:ff:ff' is not the address of one machine"),
        (9, "IP address: '224.0.0.1' is not an address that a machine can have"),
        (9, "boot device: 'sda1' is not a device path such as /dev/sda1"),
    ]


def test_what_is_there_twice_names_the_other_line_even_where_that_is_wrong_too() -> None:
    text = """\
52:54:00:00:00:01 10.0.0.1 1 maybe
52:54:00:00:00:01 10.0.0.2 2 no
52:54:00:00:00:03 10.0.0.1 3 no
52:54:00:00:00:04 10.0.0.4 1 no name=node3
"""
    assert mistakes_of(text)[1:] == [
        (2, "MAC address 52:54:00:00:00:01 is already on line 1"),
        (3, "IP address 10.0.0.1 is already on line 1"),
        (4, "name node3 is already on line 3"),
        (4, "node number 1 is already on line 1"),
    ]


def test_the_same_number_twice_is_one_mistake_and_not_two() -> None:
    text = "52:54:00:00:00:01 10.0.0.1 1 no\n52:54:00:00:00:02 10.0.0.2 1 no\n"
    assert mistakes_of(text) == [(2, "node number 1 is already on line 1")]


def test_a_thousand_lines_with_many_mistakes_tell_each() -> None:
    lines = [f"52:54:00:00:{n >> 8:02x}:{n & 255:02x} 10.1.{n >> 8}.{n & 255} {n} no" for n in range(1, 1001)]
    wrong = list(range(6, 1000, 7))
    for index in wrong:
        lines[index] = lines[index].replace(" no", " nope")
    assert [line for line, _ in mistakes_of("\n".join(lines))] == [index + 1 for index in wrong]


def test_a_name_that_reads_as_a_mac_address_is_refused() -> None:
    assert "reads as a MAC address" in mistakes_of("52:54:00:00:00:01 - - no name=aabbccddeeff")[0][1]


def test_an_unchanged_table_is_written_as_it_was_read() -> None:
    assert ssitab.format_hosts(hosts_of(TABLE), TABLE) == TABLE


def test_a_changed_host_keeps_spelling_columns_and_comment() -> None:
    head, second = hosts_of(TABLE)
    text = ssitab.format_hosts([replace(head, ip="10.0.0.77"), replace(second, groups=("c",))], TABLE)
    assert text.split("\n")[1:4] == [
        "52:54:00:00:00:01  10.0.0.77  1  yes  /dev/sda1   role=root    # the head node",
        "",
        '52-54-00-00-00-02  10.0.0.2   2  N                groups=c     rack="4 left"',
    ]


def test_new_hosts_follow_and_removed_ones_go() -> None:
    text = ssitab.format_hosts([a_host(3), hosts_of(TABLE)[1]], TABLE)
    assert "head node" not in text
    assert text.split("\n")[0] == "# the small cluster"
    assert [host.name for host in hosts_of(text)] == ["node2", "node3"]


def test_a_renamed_host_keeps_its_line() -> None:
    head, second = hosts_of(TABLE)
    text = ssitab.format_hosts([replace(head, name="head"), second], TABLE)
    assert "name=head" in text.split("\n")[1]
    assert "# the head node" in text.split("\n")[1]


def test_a_host_that_begins_to_boot_locally_gets_its_device() -> None:
    head, second = hosts_of(TABLE)
    changed = replace(second, local_boot="/dev/sdb1")
    assert hosts_of(ssitab.format_hosts([head, changed], TABLE)) == [head, changed]


def test_a_layout_we_cannot_read_any_more_costs_nothing() -> None:
    layout = "# note\nthis is no line of a table\n" + TABLE
    text = ssitab.format_hosts(hosts_of(TABLE), layout)
    assert text == "# note\n" + TABLE


def test_values_with_blanks_quotes_and_hashes_survive() -> None:
    host = a_host(settings={"a": 'say "hi" # not', "b": "back\\slash", "c": "x\u0085y\u2028z", "d": " "})
    assert hosts_of(ssitab.format_hosts([host])) == [host]


def test_an_import_of_all_hosts_brings_its_own_layout() -> None:
    assert ssitab.join_layouts("# old\n" + TABLE, TABLE) == TABLE


def test_an_import_of_some_hosts_leaves_the_lines_of_the_others() -> None:
    new = "# second thoughts\n52:54:00:00:00:02 10.0.0.22 2 no\n"
    joined = ssitab.join_layouts(TABLE, new)
    assert [host.ip for host in hosts_of(joined)] == ["10.0.0.1", "10.0.0.22"]
    assert joined.startswith("# the small cluster\n")
    assert joined.endswith(new)


def test_a_table_without_a_layout_is_written_in_columns_under_their_names() -> None:
    hosts = [a_host(1), a_host(12, name="x", local_boot="/dev/sda1", role=Role.MESH)]
    header, first, second = ssitab.format_hosts(hosts).splitlines()
    assert header.split() == ["#", "MAC", "IP", "NODE", "LOCAL-BOOT", "BOOT-DEVICE", "facts"]
    assert first[header.index("NODE") :].split() == ["1", "no"]
    assert second[header.index("BOOT-DEVICE") :].startswith("/dev/sda1 ")
    assert second[header.index("facts") :] == "name=x role=mesh"
