"""Every event: named for good, explained, of a known level, and not to be changed."""

import dataclasses
import pkgutil
import re
from importlib import import_module
from typing import Any

import pytest

from bootd import events
from bootd.events import Event
from bootd.telemetry import as_json

ROOMS = [import_module(f"bootd.events.{room.name}") for room in pkgutil.iter_modules(events.__path__)]
CLASSES = sorted(
    {
        value
        for room in ROOMS
        for value in vars(room).values()
        if isinstance(value, type) and issubclass(value, Event) and not value.__subclasses__()
    },  # those that others build upon are no events
    key=lambda kind: kind.__name__,
)
NAME = re.compile(r"[a-z]+\.[a-z][a-z_]+\Z")
SAMPLES = {"str": "word", "int": 1, "float": 0.5, "bool": True, "int | None": 1, "str | None": "word"}

each = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def an_event(kind: type[Event]) -> Event:
    """Return one with every field filled in."""
    types = {
        field.name: getattr(field.type, "__name__", str(field.type)) for field in dataclasses.fields(kind)
    }
    fields: dict[str, Any] = {name: SAMPLES[text] for name, text in types.items()}
    return kind(**fields)


def test_there_are_events_and_no_two_share_a_name() -> None:
    assert len(CLASSES) > 15
    assert len({kind.name for kind in CLASSES}) == len(CLASSES)


def test_all_events_of_the_rooms_are_named_in_the_package() -> None:
    assert {kind.__name__ for kind in CLASSES} == set(events.__all__) - {"Event", "Reasoned"}
    assert all(getattr(events, kind.__name__) is kind for kind in CLASSES)


@each
def test_event_has_a_dotted_name_of_its_own(kind: type[Event]) -> None:
    assert "name" in vars(kind)
    assert NAME.match(kind.name)


@each
def test_event_has_a_known_level(kind: type[Event]) -> None:
    assert kind.level in ("debug", "info", "warning", "error")


@each
def test_docstring_of_an_event_is_its_manual_page(kind: type[Event]) -> None:
    # a dataclass without a docstring is given its signature as one
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    assert kind.__doc__.strip().endswith(".")


@each
def test_warning_says_what_to_do(kind: type[Event]) -> None:
    if kind.level in ("warning", "error"):
        assert len((kind.__doc__ or "").split()) >= 12, "what to look at, what to do"


@each
def test_event_cannot_be_changed_and_carries_nothing_else(kind: type[Event]) -> None:
    event = an_event(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.mac = "52:54:00:00:00:01"  # type: ignore[misc]
    assert not hasattr(event, "__dict__")


@each
def test_event_has_a_slug_as_reason_and_fits_a_line_of_json(kind: type[Event]) -> None:
    event = an_event(kind)
    assert isinstance(event.reason, str)
    assert "\n" not in as_json(event)
