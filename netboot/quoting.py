"""Values made safe to stand in the text of each boot loader's language.

None of these languages is a shell. iPXE and gPXE have no quoting at all
(src/core/exec.c): a line is split at white space, a word that begins with ``#`` ends it,
the words ``;``, ``||`` and ``&&`` start another command, ``${`` expands a setting and a
backslash at the end of a line joins the next one to it. What cannot be written is refused
with `LocalError`; nothing is silently changed, except by `ipxe_message`.
"""

import re

from netboot.errors import LocalError

_BLANKS = re.compile(r"[ \t]+")
_PRINTABLE = re.compile(r"[\x21-\x7e]*\Z")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_TERMINATORS = frozenset((";", "||", "&&"))


def ipxe_word(text: str) -> str:
    """Return *text* as one argument of an iPXE command: a URL, a name, a number.

    A leading ``-`` is refused too: getopt would read an option.
    """
    if not text or text[0] == "-":
        raise LocalError(f"cannot be an argument in an iPXE script: {text!r}")
    return _ipxe_part(text)


def ipxe_words(text: str) -> str:
    """Return *text* as the rest of an iPXE command that takes any number of words.

    For what follows the URL of ``kernel``: getopt stops there, so words may begin with
    ``-``. Runs of blanks become one, as iPXE itself joins the words again.
    """
    return " ".join(_ipxe_part(word) for word in _BLANKS.split(text) if word)


def ipxe_message(text: str) -> str:
    """Return *text* fit for ``echo`` to show to a person; changes what cannot be shown, never fails.

    No word may begin with ``-`` either, as ``echo`` has options.
    """
    plain = _UNPRINTABLE.sub("?", re.sub(r"\s", " ", text)).replace("$", "%").replace("\\", "/")
    words = []
    for word in plain.split():
        if word in _TERMINATORS:
            word = word.translate({ord(";"): ",", ord("|"): "/", ord("&"): "+"})
        words.append("'" + word if word[0] in "#-" else word)
    return " ".join(words)


def gpxe_word(text: str) -> str:
    """Return *text* as one argument of a gPXE command.

    gPXE expands settings before it splits the line, so a value that came out of ``${}``
    is beyond help; one of ours only has to be a plain word.
    """
    return ipxe_word(text)


def gpxe_words(text: str) -> str:
    """Return *text* as the rest of a gPXE command."""
    return ipxe_words(text)


def grub_word(text: str) -> str:
    """Return *text* as one word of GRUB script: single quotes keep everything but themselves.

    Raises `LocalError` for control characters; an apostrophe is put outside the quotes.
    """
    if any(character < " " or character == "\x7f" for character in text):
        raise LocalError(f"control character in a value for GRUB: {text!r}")
    return "'" + text.replace("'", "'\\''") + "'"


def grub_words(text: str) -> str:
    """Return *text* as the arguments of ``linux`` or ``initrd``, each word quoted by itself.

    GRUB puts them together again for the kernel and would wrap one that contains a
    blank in double quotes.
    """
    return " ".join(grub_word(word) for word in _BLANKS.split(text) if word)


def pxelinux_line(text: str) -> str:
    """Return *text* as the rest of a PXELINUX line, which ends only where the line does.

    Raises `LocalError` for an empty value and for control and non-ASCII characters.
    """
    value = text.strip(" \t")
    if not value or _UNPRINTABLE.search(value):
        raise LocalError(f"cannot stand on a PXELINUX line: {text!r}")
    return value


def _ipxe_part(word: str) -> str:
    """Check one word of an iPXE line.

    ``$`` and backslash are refused at the end as well: the template may go on with ``{``,
    or end the line there.
    """
    if not _PRINTABLE.match(word):
        raise LocalError(f"blank, control or non-ASCII character in a word of an iPXE script: {word!r}")
    if word[0] == "#" or word in _TERMINATORS:
        raise LocalError(f"would end the command in an iPXE script: {word!r}")
    if "${" in word or word[-1] in "$\\":
        raise LocalError(f"would be expanded or continue the line in an iPXE script: {word!r}")
    return word
