"""No value, wherever it comes from, makes a script do anything a template did not write."""

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bootd.boot.dialect import DIALECTS
from bootd.boot.places import Chap
from bootd.boot.render import Renderer
from bootd.model import Host, ImageFile, ImageRef, MemoryImage
from tests.helpers.places import CLONE, a_lun_place, a_slot_place
from tests.helpers.script_readers import EXPANDED, expansions, read_grub, read_script
from tests.helpers.scripts import (
    NOON,
    a_diagnosis,
    a_local_boot,
    a_lun_boot,
    a_memory_boot,
    a_slot_boot,
    script_facts,
)

SHIPPED = Renderer()
HOSTILE = [
    "a || shell",
    "a; shell",
    "a ; shell",
    "a && shell",
    "a\nshell",
    "a\rshell",
    "a\\\nshell",
    "a\\",
    "a$",
    "${net0/mac}",
    "$ {x}",
    "#",
    "a # b",
    "-n",
    "--name",
    "a\x0bshell",
    "a\x00b",
    "'; reboot; '",
    "'\\''",
    '"',
    "$(reboot)",
    "`reboot`",
    "a\u2028shell",
    "a\u0085b",
    "é",
    "",
    " ",
    "   x   ",
    ":wait",
    "LABEL x",
    "a,b",
    "%0a",
]
values = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=30), st.text("|&;#$\\{}'\" \n\t-x", max_size=20)
)
memory_boots = st.builds(
    lambda name, image, cmdline, kernel, initrd, path, rule: a_memory_boot(
        host=Host(name, "52:54:00:ab:cd:01", settings={"x": cmdline}),
        rule=rule,
        image=MemoryImage(
            image, ImageFile(kernel, path, "0", 1), (ImageFile(initrd, path, "1", 1),), cmdline, NOON
        ),
        chain=True,
    ),
    *[values] * 7,
)
local_boots = st.builds(
    lambda name, rule, device: a_local_boot(
        host=Host(name, "52:54:00:ab:cd:01"), rule=rule, device=device, chain=True
    ),
    *[values] * 3,
)
slot_boots = st.builds(
    lambda name, rule, device, project, image: a_slot_boot(
        host=Host(name, "52:54:00:ab:cd:01"),
        rule=rule,
        place=a_slot_place(device=device, image=ImageRef(project, image, 1)),
        chain=True,
    ),
    *[values] * 5,
)


def a_hostile_lun(name, rule, group, target, initiator, server):
    portals = (f"{server}:3260", "10.0.1.5:3260")
    clone = replace(CLONE, group=group, target=target, initiator=initiator, portals=portals)
    host, place = Host(name, "52:54:00:ab:cd:01"), a_lun_place(clone=clone)
    return a_lun_boot(host=host, rule=rule, place=place, clone=clone, chain=True)


lun_boots = st.builds(a_hostile_lun, *[values] * 6)
diagnoses = st.builds(
    lambda name, rule, problem: a_diagnosis(host=Host(name, "52:54:00:ab:cd:01"), rule=rule, problem=problem),
    *[values] * 3,
)
HARMLESS_IMAGE = MemoryImage("i", ImageFile("k", "p", "0", 1), (ImageFile("r", "p", "1", 1),), "quiet", NOON)
HARMLESS_MEMORY = a_memory_boot(chain=True, image=HARMLESS_IMAGE)
HARMLESS = [
    HARMLESS_MEMORY,
    a_local_boot(chain=True),
    a_diagnosis(),
    a_slot_boot(chain=True),
    a_lun_boot(chain=True),
]
HARMLESS_LUN = HARMLESS[-1]


def render(decision, dialect, **facts):
    return SHIPPED.render(decision, dialect, script_facts(**facts)).text


def ipxe_shape(text):
    """Everything about a script but the values: commands, terminators, labels, jumps, options, settings."""
    fixed = {"goto", "inc", "iseq", "sleep", "exit", "shell", "boot", "imgfree", "clear"}
    commands = [
        (c.name, c.words if c.name in fixed else _options(c.words), c.ended_by) for c in read_script(text)
    ]
    settings_set = [(c.words[:2], len(c.words)) for c in read_script(text) if c.name == "set"]
    sans = [len(c.words) for c in read_script(text) if c.name == "sanboot"]
    return commands, settings_set, sans, expansions(text)


def _options(words):
    """getopt of iPXE and gPXE stops at the first word that is none; what follows the URL is the kernel's."""
    before = itertools.takewhile(lambda word: not word.startswith(("http://", "iscsi:")), words)
    return tuple(word for word in before if word.startswith("-"))


def grub_shape(text):
    """Commands, separators and expansions; the words of a kernel command line may be any number."""
    return [(c.name, c.ended_by, c.words.count(EXPANDED)) for c in read_grub(text)]


def pxelinux_shape(text):
    """PXELINUX reads a keyword and the rest of its line."""
    return [line.lstrip().split(" ")[0] for line in text.split("\n")]


SHAPES = {"ipxe": ipxe_shape, "gpxe": ipxe_shape, "grub": grub_shape, "pxelinux": pxelinux_shape}


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=300, deadline=None)
@given(decision=st.one_of(memory_boots, local_boots, slot_boots, lun_boots, diagnoses))
@example(decision=replace(HARMLESS_MEMORY, rule="a || shell"))
def test_a_value_never_becomes_a_command(dialect, decision):
    shape = SHAPES[dialect]
    allowed = [shape(render(harmless, dialect)) for harmless in HARMLESS]
    assert shape(render(decision, dialect)) in allowed


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=200, deadline=None)
@given(user=values, secret=values)
@example(user="node1", secret="x || shell")
def test_login_of_a_lun_never_becomes_a_command(dialect, user, secret):
    shape = SHAPES[dialect]
    allowed = [shape(render(harmless, dialect)) for harmless in (HARMLESS_LUN, a_diagnosis())]
    assert shape(render(HARMLESS_LUN, dialect, chap=Chap(user, secret))) in allowed


@pytest.mark.parametrize("kind", [a_slot_boot, a_lun_boot])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_hostile_names_of_hosts_and_rules_still_boot(dialect, kind):
    """A name is text for people in these scripts: it is made harmless, not refused."""
    expected = SHIPPED.render(kind(), dialect, script_facts()).answer
    for value in HOSTILE:
        decision = kind(host=Host(value, "52:54:00:ab:cd:01"), rule=value)
        assert SHIPPED.render(decision, dialect, script_facts()).answer == expected


def test_the_readers_see_what_is_not_quoted():
    """The proof above is worth what its readers are."""
    assert [c.name for c in read_script("echo a || shell\n")] == ["echo", "shell"]
    assert expansions("echo ${x} $y") == ["${x}"]
    assert [(c.name, c.ended_by) for c in read_grub("echo 'a;b'; reboot\necho $x\n")] == [
        ("echo", ";"),
        ("reboot", "\n"),
        ("echo", "\n"),
    ]
    assert grub_shape("echo $x\n") != grub_shape("echo '$x'\n")


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_reaches_the_kernel_is_what_the_table_says_or_a_diagnosis(dialect, value):
    image = replace(HARMLESS_IMAGE, cmdline=f"before {value} after")
    script = SHIPPED.render(a_memory_boot(image=image), dialect, script_facts(token=""))
    if script.answer.startswith("diagnose: "):
        return
    words = [word for word in re.split("[ \t]+", value) if word]
    if dialect == "grub":
        got = next(list(c.words) for c in read_grub(script.text) if "before" in c.words)
    else:
        got = next(line.split() for line in script.text.split("\n") if "before" in line)
    start = got.index("before")
    assert got[start : start + len(words) + 2] == ["before", *words, "after"]


@pytest.mark.parametrize(
    "value", ["quiet", "root=/dev/sda1 ro", "a=b,c 'x y'", "ip=dhcp;x", "p=a|b&c", "--- x"]
)
def test_ordinary_command_lines_are_not_refused(value):
    image = replace(HARMLESS_IMAGE, cmdline=value)
    for dialect in DIALECTS:
        assert SHIPPED.render(a_memory_boot(image=image), dialect, script_facts()).answer == "memory:i"


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_file_name_stays_inside_its_url(value):
    image = replace(HARMLESS_IMAGE, kernel=ImageFile("vmlinuz", f"memory/{value}/vmlinuz", "0", 1))
    script = SHIPPED.render(a_memory_boot(image=image), "ipxe", script_facts())
    kernel = next(c for c in read_script(script.text) if c.name == "kernel")
    assert kernel.words[3].startswith("http://10.0.0.2:8080/files/memory/")
    assert kernel.words[3].endswith("/vmlinuz?a=0-525400abcd01-00000000")
