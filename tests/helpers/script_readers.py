"""How the clients read a script, written again for the tests alone.

iPXE after src/image/script.c and src/core/exec.c; GRUB after its manual, section "Quoting".
"""

import re
from dataclasses import dataclass

_BLANK = " \t\n\v\f\r"
EXPANDED = "\0"  # no quoted value can hold it
_TERMINATORS = ("||", "&&", ";")


@dataclass(frozen=True)
class Command:
    """One command as iPXE would run it, before settings are expanded."""

    words: tuple[str, ...]
    ended_by: str  # ||, &&, ; or "" at the end of the line

    @property
    def name(self) -> str:
        return self.words[0] if self.words else ""


def read_script(text: str) -> list[Command]:
    """Return every command of *text* in order; a label counts as one, spelled ``:label``."""
    commands: list[Command] = []
    held = ""
    for line in text.split("\n"):
        line = (held + line).removesuffix("\r")
        if line.endswith("\\"):
            held = line[:-1]
            continue
        held = ""
        line = line.lstrip(_BLANK)
        if line.startswith(":"):
            label, _, line = line.partition(" ")
            commands.append(Command((label,), ""))
        commands += _read_line(line)
    return commands


def expansions(text: str) -> list[str]:
    """Return every setting that iPXE would expand."""
    return re.findall(r"\$\{[^}]*\}?", text)


def _read_line(line: str) -> list[Command]:
    commands = []
    words: list[str] = []
    for token in re.split(f"[{_BLANK}]+", line.strip(_BLANK)):
        if not token or token.startswith("#"):
            break
        if token in _TERMINATORS:
            commands.append(Command(tuple(words), token))
            words = []
        else:
            words.append(token)
    if words:
        commands.append(Command(tuple(words), ""))
    return commands


def read_grub(text: str) -> list[Command]:
    """Return every command of a GRUB script; what it would expand is the word `EXPANDED`."""
    commands: list[Command] = []
    words: list[str] = []
    word: str | None = None
    rest = iter(text)
    for character in rest:
        if character == "'":
            word = (word or "") + "".join(iter(lambda: next(rest), "'"))
        elif character == "\\":
            word = (word or "") + next(rest)
        elif character in " \t\n;|&{}<>":
            if word is not None:
                words.append(word)
                word = None
            if character not in " \t":
                commands.append(Command(tuple(words), character))
                words = []
        elif character == "$":
            words.append(EXPANDED)
        else:
            word = (word or "") + character
    return [command for command in commands if command.words or command.ended_by != "\n"]
