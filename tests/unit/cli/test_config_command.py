"""``bootd config``: is the file right, and what holds in the end?"""

import tomllib
from pathlib import Path

from bootd.config import DEFAULT_LOADERS, KEYS
from tests.helpers.command import Bootd


def test_good_file_is_called_good(bootd: Bootd, tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text("[http]\nport = 81\n")
    assert bootd.good("config", "check", str(file)).out == f"{file}: good\n"


def test_file_in_use_is_the_one_that_is_checked(bootd: Bootd) -> None:
    assert bootd.good("config", "check").out == f"{bootd.config}: good\n"


def test_mistakes_are_told_and_nothing_called_good(bootd: Bootd, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[http]\nport = 0\n")
    ended = bootd("config", "check", str(file))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"{file}:2: http.port = 0: expected a port number from 1 to 65535\n"


def test_every_key_is_shown_as_the_file_would_spell_it(bootd: Bootd) -> None:
    rows = [line.rsplit("  ", 1) for line in bootd.good("config", "show").out.splitlines()]
    names = [key.name for key in KEYS] + [f"loaders.{arch}" for arch in DEFAULT_LOADERS]
    assert [row.split()[0] for row, _ in rows] == names
    for row, _ in rows:
        name, literal = row.split(maxsplit=1)
        tomllib.loads(f"{name} = {literal}")


def test_json_tells_value_and_source_of_every_key(bootd: Bootd) -> None:
    shown = bootd.good("config", "show", "--json").json
    assert {key.name for key in KEYS} <= set(shown)
    assert shown["server.data_dir"] == {"value": str(bootd.data), "source": f"{bootd.config}:2"}
    assert shown["http.admin.listen"] == {"value": [], "source": "default"}
