"""What is quoted for a boot loader stays one value. The readers below follow the loaders' own source."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netboot import ipxe, quoting
from netboot.errors import LocalError

# What means something to some loader, often; what must be refused, seldom enough to leave examples.
ANY_TEXT = st.text(st.sampled_from("#;|&'\"{}-:=aZ0$\\ " * 6 + "\t\n\r\0\x0b\x1c\x85é"), max_size=9)


def ipxe_commands(script: str) -> list[list[str]]:
    """Read *script* as iPXE does (image/script.c, core/exec.c); ``${…}`` becomes ``<expanded>``."""
    commands = []
    for line in re.sub(r"\\\r?\n", "", script).splitlines():
        command: list[str] = []
        for word in line.split():
            if word.startswith("#"):
                break
            if word in ("||", "&&", ";"):
                commands.append(command)
                command = []
            else:
                command.append(re.sub(r"\$\{[^}]*\}", "<expanded>", word))
        commands.append(command)
    return commands


def quoted(quote, text: str) -> str | None:
    """Return *text* quoted, or None if it was refused, which is always safe; the examples are accepted."""
    try:
        return quote(text)
    except LocalError:
        return None


@given(ANY_TEXT)
@example("a;b")
@example("a\\b")
def test_a_quoted_word_is_one_argument_of_its_command(text):
    word = quoted(ipxe.quote, text)
    if word is None:
        return
    script = f"chain {word}\nset x {word}{{y}} || goto z\nimgfetch a {word}\nboot\n"
    assert ipxe_commands(script) == [
        ["chain", text],
        ["set", "x", text + "{y}"],
        ["goto", "z"],
        ["imgfetch", "a", text],
        ["boot"],
    ]


@given(ANY_TEXT)
@example("console=ttyS0,115200  -- quiet")
def test_quoted_words_are_the_rest_of_their_command(text):
    words = quoted(ipxe.quote_words, text)
    if words is None:
        return
    assert ipxe_commands(f"kernel url {words}\nboot\n") == [["kernel", "url", *text.split()], ["boot"]]


@given(ANY_TEXT)
@example("${net0/mac} ; || && #-")
@example("ends in \\")
def test_a_message_is_shown_whatever_it_says(text):
    shown = ipxe.message(text)
    command, after = ipxe_commands(f"echo {shown}\nboot\n")
    assert (command[0], after) == ("echo", ["boot"])
    assert "<expanded>" not in " ".join(command)
    assert len(command) == 1 + len(text.split())
    assert not any(word.startswith("-") for word in command[1:])
    assert shown.isascii()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("two words", id="blank"),
        pytest.param("a\nreboot", id="line-feed"),
        pytest.param("a\rb", id="carriage-return"),
        pytest.param("a\0b", id="nul"),
        pytest.param("a\x0bb", id="vertical-tab-is-a-blank"),
        pytest.param("caf\u00e9", id="not-ascii"),
        pytest.param("a\u00a0b", id="no-break-space"),
        pytest.param("${net0/mac}", id="expansion"),
        pytest.param("cost$", id="expansion-with-the-templates-brace"),
        pytest.param("#comment", id="comment"),
        pytest.param(";", id="next-command"),
        pytest.param("||", id="or"),
        pytest.param("&&", id="and"),
        pytest.param("C:\\", id="continues-the-line"),
        pytest.param("--timeout", id="option"),
    ],
)
@pytest.mark.parametrize("quote", [quoting.ipxe_word, quoting.gpxe_word])
def test_what_ipxe_cannot_write_is_refused(quote, text):
    with pytest.raises(LocalError):
        quote(text)


@pytest.mark.parametrize(
    "text",
    ["http://10.99.0.2/files/a?b=1&c=2;d#e", "iscsi:10.0.0.1::::iqn.2026-01.x:d", "a$b", "a\\b", "it's"],
)
def test_what_ipxe_takes_as_it_is_stays_as_it_is(text):
    assert ipxe.quote(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "", id="no-command-line"),
        pytest.param(" quiet\t\tro  ", "quiet ro", id="blanks"),
        pytest.param("auto=true --- quiet", "auto=true --- quiet", id="debian-installers-dashes"),
    ],
)
@pytest.mark.parametrize("quote_words", [quoting.ipxe_words, quoting.gpxe_words])
def test_a_kernel_command_line_keeps_its_words(quote_words, text, words):
    assert quote_words(text) == words


@pytest.mark.parametrize("text", ["a\nb", "a ; reboot", "a || b", "a ${b} c", "ro # x", "x\\"])
@pytest.mark.parametrize("quote_words", [quoting.ipxe_words, quoting.gpxe_words])
def test_a_kernel_command_line_may_not_start_another_command(quote_words, text):
    with pytest.raises(LocalError):
        quote_words(text)


def grub_commands(script: str) -> list[list[str]]:
    """Read *script* as GRUB does (script/yylex.l): single quotes, and backslash outside them."""
    commands: list[list[str]] = [[]]
    for token in re.finditer(
        r"(?P<word>(?:'[^']*'|\\.|[^\s;|&#'\\])+)|(?P<end>[\n;|&])|#[^\n]*|\s|.", script
    ):
        if token["word"]:
            parts = re.findall(r"'([^']*)'|\\(.)|([^'\\])", token["word"])
            commands[-1].append("".join("".join(part) for part in parts))
        elif token["end"]:
            commands.append([])
    return [command for command in commands if command]


@given(ANY_TEXT)
@example("it's $x ; reboot")
@example("''")
def test_a_word_quoted_for_grub_is_one_argument(text):
    word = quoted(quoting.grub_word, text)
    if word is None:
        return
    assert grub_commands(f"set x={word}\nboot") == [["set", f"x={text}"], ["boot"]]


@given(ANY_TEXT)
def test_words_quoted_for_grub_are_separate_arguments(text):
    words = quoted(quoting.grub_words, text)
    if words is None:
        return
    wanted = [word for word in re.split(r"[ \t]+", text) if word]
    assert grub_commands(f"linux url {words}\nboot") == [["linux", "url", *wanted], ["boot"]]


@pytest.mark.parametrize("text", ["a\nb", "a\0", "\x7f"])
def test_control_characters_are_refused_for_grub(text):
    with pytest.raises(LocalError):
        quoting.grub_word(text)


@given(ANY_TEXT)
@example("root=/dev/sda1 # {} ;")
def test_a_pxelinux_value_ends_with_its_line(text):
    value = quoted(quoting.pxelinux_line, text)
    if value is None:
        return
    assert f"APPEND {value}\nIPAPPEND 2".splitlines() == [f"APPEND {text.strip(' 	')}", "IPAPPEND 2"]


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x85b", "a\x1cb", "caf\u00e9"])
def test_what_pxelinux_cannot_write_is_refused(text):
    with pytest.raises(LocalError):
        quoting.pxelinux_line(text)


def test_every_feature_is_a_flag_of_option_175():
    assert all(feature in ipxe.FEATURE_CODES for feature in ipxe.Feature)
    assert 0xB1 not in ipxe.FEATURE_CODES
