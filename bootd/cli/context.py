"""What every command shares: the configuration, the store, who is acting, and how it ends."""

import getpass
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from bootd.config import Config
    from bootd.store import Store

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Site:
    """The site a command works on, opened as late as possible."""

    def __init__(self, config_file: Path | None) -> None:
        self.config_file = config_file

    @cached_property
    def config(self) -> "Config":
        from bootd.config import load

        return load(self.config_file)

    @property
    def data_dir(self) -> Path:
        return self.config.data_dir

    @property
    def actor(self) -> str:
        """Who acts, as the journal names them."""
        try:
            return os.environ.get("SUDO_USER") or getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            return f"uid {os.getuid()}"

    @property
    def has_store(self) -> bool:
        """Whether there is a database; one that cannot be looked for is left to opening it."""
        try:
            self.config.database.stat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def open_store(self, *, make: bool = True) -> "Store":
        """Open the site's database. One that is not there is made; with *make* false it reads as empty."""
        from bootd.clock import utc_now
        from bootd.store import open_store

        url = self.config.store_url if make or self.has_store else "sqlite://"
        return open_store(url, clock=utc_now)

    def read_store(self) -> "Store":
        """Open the site's database to look at it: nothing is made by looking."""
        return self.open_store(make=False)


def pass_site(command: Callable[Concatenate[Site, _P], _R]) -> Callable[_P, _R]:
    """Give *command* the `Site` as its first argument."""

    def with_site(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return command(click.get_current_context().find_root().obj, *args, **kwargs)

    return update_wrapper(with_site, command)


def print_json(value: Any) -> None:
    """Print *value* as indented JSON, dates in ISO form."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def is_terminal() -> bool:
    """Tell whether a person is looking."""
    return sys.stdout.isatty()


def program() -> str:
    """Return what to type for bootd in this shell: how it was called, where PATH does not lead to it."""
    called = sys.argv[0]
    if Path(called).name != "bootd":  # python -m bootd, pytest
        return "bootd"
    found = shutil.which("bootd")
    return "bootd" if found and Path(called).exists() and Path(called).samefile(found) else called


def cache_dir() -> Path:
    """Return where downloaded packages and built images are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "bootd"
