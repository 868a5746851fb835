"""A booking in the words of a calendar: ``project:``, ``nodes:`` and ``image:`` lines, or a summary."""

import html
import re
from dataclasses import dataclass

from bootd.errors import BadValue

_LINE = re.compile(r"\s*(project|nodes?|images?|note)\s*:\s*(.*?)\s*\Z", re.IGNORECASE)
_BREAK = re.compile(r"<\s*(?:br|/?p|/?div|/?li)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_NOTE_LENGTH = 500
GROUPS = ("project", "nodes", "image")


@dataclass(frozen=True, slots=True)
class Fields:
    """What an event says of a booking; "" where it does not say."""

    project: str
    nodes: str
    images: tuple[str, ...]
    note: str


def make_pattern(text: str) -> re.Pattern[str]:
    """Return the pattern of summaries; raises `BadValue`."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise BadValue("summary pattern", text, f"a regular expression: {error}") from None
    if not {"project", "nodes"} & set(pattern.groupindex) or set(pattern.groupindex) - set(GROUPS):
        raise BadValue(
            "summary pattern", text, "with groups (?P<project>…) and (?P<nodes>…), or (?P<image>…)"
        )
    return pattern


def read_fields(summary: str, description: str, pattern: re.Pattern[str] | None = None) -> Fields | None:
    """Return what an event says; lines of the description go before its summary. None: nothing."""
    found: dict[str, list[str]] = {"project": [], "node": [], "image": [], "note": []}
    for line in _plain(description).splitlines():
        if match := _LINE.match(line):
            found[match[1].lower().removesuffix("s")].append(match[2])
    if pattern is not None and (match := pattern.search(summary)):
        for group, value in match.groupdict().items():
            key = group.removesuffix("s")
            found[key] = found[key] or ([value.strip()] if value else [])
    if not found["project"] and not found["node"]:
        return None
    project = found["project"][0] if found["project"] else ""
    nodes = ",".join(_with_commas(each) for each in found["node"])
    images = [name.strip() for each in found["image"] for name in each.split(",") if name.strip()]
    note = " ".join(found["note"]) or ("" if summary == summary_of(project, nodes) else summary)
    return Fields(project, nodes, tuple(images), _one_line(note))


def summary_of(project: str, nodes: str) -> str:
    """Return the summary of a booking as we write it."""
    return f"{project}: {nodes}"


def description_of(fields: Fields) -> str:
    """Return the lines that `read_fields` reads."""
    lines = [f"project: {fields.project}", f"nodes: {fields.nodes}"]
    lines += [f"image: {image}" for image in fields.images]
    return "\n".join([*lines, f"note: {fields.note}"] if fields.note else lines)


def _plain(description: str) -> str:
    """Google Calendar keeps descriptions as HTML once they were edited there."""
    if not _TAG.search(description):
        return description
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", description))).replace("\xa0", " ")


def _with_commas(nodes: str) -> str:
    return re.sub(r"(?<=[^,\s])\s+(?=[^,\s])", ",", nodes.strip())


def _one_line(text: str) -> str:
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:_NOTE_LENGTH]
