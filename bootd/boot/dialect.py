"""The script languages, and the Jinja2 environment in which a value cannot go out unquoted.

Two locks on one door. When a template is compiled, every ``{{ … }}`` in it must end in one of
its dialect's quoting filters (or call a macro, a block or ``super()``, whose own outputs were
checked); anything else is a syntax error with its line, found at start. When it is rendered,
an output that is not the work of a filter is refused as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateRuntimeError, TemplateSyntaxError, nodes
from markupsafe import Markup

from netboot import ipxe, quoting
from netboot.errors import LocalError

Quote = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A language a client runs, and how values are put into it."""

    name: str  # folder under templates/, and what the script's address ends in
    word: Quote  # one argument of a command
    words: Quote  # the rest of a command
    message: Quote  # text for people; never refuses


def _plain(text: str) -> str:
    """Keep what every console shows; a message must not fail."""
    return "".join(c if " " <= c <= "~" else "?" for c in " ".join(text.split())) or "-"


def _grub_message(text: str) -> str:
    return quoting.grub_word(_plain(text))


def _pxelinux_message(text: str) -> str:
    return quoting.pxelinux_line(_plain(text))


def _pxelinux_word(text: str) -> str:
    value = quoting.pxelinux_line(text)
    if " " in value or "\t" in value or "," in value:
        raise LocalError(f"blank or comma in a file name for PXELINUX: {text!r}")
    return value


def _or_nothing(quote: Quote) -> Quote:
    """A kernel command line may well be empty."""
    return lambda text: quote(text) if text.strip(" \t") else ""


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect("ipxe", ipxe.quote, ipxe.quote_words, ipxe.message),
            Dialect("gpxe", quoting.gpxe_word, quoting.gpxe_words, ipxe.message),
            Dialect("grub", quoting.grub_word, quoting.grub_words, _grub_message),
            Dialect("pxelinux", _pxelinux_word, _or_nothing(quoting.pxelinux_line), _pxelinux_message),
        )
    }
)

_FILTERS = ("word", "words", "message")


class Quoted:
    """Text that went through a filter. Not a `str`, so that nothing can be added to it unseen."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Unquoted(TemplateRuntimeError):
    """A template tried to put out a value that no filter has seen."""


class _CheckedEnvironment(Environment):
    """Refuses templates that could put out a value unquoted."""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for output in tree.find_all(nodes.Output):
            for part in output.nodes:
                _check_output(part, name, filename)
        for fence in tree.find_all((nodes.FilterBlock, nodes.ScopedEvalContextModifier)):
            raise _refusal("only {{ value | filter }} may change text", fence.lineno, name, filename)
        return tree


def environment(dialect: Dialect, loader: BaseLoader) -> Environment:
    """Return an environment for *dialect*'s templates.

    Autoescape is on for one reason: it makes Jinja2 mark what blocks and macros put out, so
    that `_finalize` can tell it from a value. Nothing is ever escaped as HTML.
    """
    env = _CheckedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_finalize,
        auto_reload=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        newline_sequence="\n",
    )
    env.filters = {name: _quoting(getattr(dialect, name)) for name in _FILTERS}
    env.globals = {}
    return env


def _quoting(quote: Quote) -> Callable[[object], Quoted]:
    return lambda value: Quoted(quote(_text(value)))


def _text(value: object) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, StrictUndefined):
        str(value)  # raises, and names what is missing
    raise Unquoted(f"{type(value).__name__} cannot stand in a script: {value!r}")


def _finalize(value: object) -> Markup:
    if isinstance(value, Quoted):
        return Markup(value.text)
    if isinstance(value, Markup):
        return value
    raise Unquoted(f"goes out without a quoting filter: {value!r}")


def _check_output(part: nodes.Expr, name: str | None, filename: str | None) -> None:
    if isinstance(part, nodes.TemplateData):
        return
    if isinstance(part, nodes.Filter) and part.name in _FILTERS and part.node is not None:
        return
    if isinstance(part, nodes.CondExpr):
        for branch in (part.expr1, part.expr2):
            if branch is not None:
                _check_output(branch, name, filename)
        return
    if isinstance(part, nodes.Call) and isinstance(part.node, nodes.Name):
        return  # a macro or super(): checked where it is written; anything else fails in _finalize
    if isinstance(part, nodes.Call) and isinstance(part.node, nodes.Getattr):
        owner = part.node.node
        if isinstance(owner, nodes.Name) and owner.name == "self":
            return
    raise _refusal(
        "a value goes out unquoted: end it in | word, | words or | message", part.lineno, name, filename
    )


def _refusal(message: str, line: int, name: str | None, filename: str | None) -> TemplateSyntaxError:
    return TemplateSyntaxError(message, line, name, filename)
