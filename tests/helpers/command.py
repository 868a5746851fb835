"""``bootd …`` as a person types it, in this process, on a site of its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bootd.cli import main
from bootd.store import Store
from tests.helpers.site import file_store


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Bootd:
    """Runs commands on the site in *folder*."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.config = folder / "bootd.toml"
        self.config.write_text(f'[server]\ndata_dir = "{self.data}"\n')
        monkeypatch.setenv("BOOTD_CONFIG", str(self.config))

    def __call__(self, *words: str, stdin: str | bytes | None = None) -> Ended:
        """Run ``bootd WORDS``; exceptions that are no answer for a person come through."""
        runner = CliRunner()
        with runner.isolation(input=stdin) as (out, err, _):
            status = main.run(list(words))
        return Ended(status, out.getvalue().decode(), err.getvalue().decode())

    def good(self, *words: str, stdin: str | bytes | None = None) -> Ended:
        """Run a command that must succeed."""
        ended = self(*words, stdin=stdin)
        assert ended.status == 0, ended.err
        return ended

    def store(self) -> Store:
        return file_store(self.data)
