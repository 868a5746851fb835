"""What commands share: who acts, and how values become JSON."""

import json
import os
from pathlib import Path

import pytest

from bootd.cli.context import Site, cache_dir, print_json
from tests.helpers.site import NOON


def test_json_has_dates_in_iso_form_and_paths_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": NOON, "file": Path("/a"), "no": None})
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-01-05T12:00:00+00:00",
        "file": "/a",
        "no": None,
    }


def test_whoever_used_sudo_is_the_one_who_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "root")
    assert Site(None).actor == "root"
    monkeypatch.setenv("SUDO_USER", "operator")
    assert Site(None).actor == "operator"


def test_user_without_a_name_acts_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    assert Site(None).actor == "uid 4000000001"


def test_cache_is_where_the_desktop_rules_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache_dir() == Path("/var/cache/me/bootd")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_dir() == Path("/home/me/.cache/bootd")
