"""``bootd serve``: the daemon in the foreground, as systemd and people start it."""

import asyncio
import json
import logging
import resource
import sys

import click

from bootd.cli.context import Site, is_terminal, pass_site

_FILES = 16384  # descriptors: thousands of machines at once


@click.command()
@pass_site
def serve(site: Site) -> None:
    """Answer machines until SIGTERM or Ctrl-C."""
    config = site.config
    _log_to_stdout()
    _allow_many_files()
    from bootd.daemon import Daemon
    from bootd.telemetry import Telemetry

    async def run() -> None:
        await Daemon(config, Telemetry(level=config["server.log_level"])).run()

    asyncio.run(run())


def _allow_many_files() -> None:
    """Raise the soft limit of open files: each transfer holds a socket and a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class ForPeople(logging.Formatter):
    """Shows an event as a line to read: time, name, who, the rest."""

    def format(self, record: logging.LogRecord) -> str:
        fields = json.loads(record.getMessage())
        event, host, mac = fields.pop("event"), fields.pop("host", ""), fields.pop("mac", "")
        who = f" {host or mac}" if host or mac else ""
        rest = "  ".join(f"{key}={_short(value)}" for key, value in fields.items())
        return f"{self.formatTime(record, '%H:%M:%S')}  {event:<28}{who}  {rest}"


def _short(value: object) -> object:
    return f"{value:.3f}" if isinstance(value, float) else value


class AsJson(logging.Formatter):
    """One JSON object a line, its time and level first."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = {"at": round(record.created, 3), "level": record.levelname.lower()}
        return json.dumps(stamp)[:-1] + ", " + record.getMessage()[1:]


def _log_to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(ForPeople() if is_terminal() else AsJson())
    logger = logging.getLogger("bootd")
    logger.setLevel(logging.DEBUG)  # Telemetry has thrown out what is below the configured level
    logger.addHandler(handler)
    logger.propagate = False
