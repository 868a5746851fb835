"""``bootd``: finds the command, loads its file, turns errors into words and an exit status."""

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from bootd import __version__
from bootd.cli.context import Site
from bootd.errors import BadText, BootdError

# verb -> (module:attribute, one line for --help); a module is imported when its verb is used
COMMANDS = {
    "serve": ("bootd.cli.serve:serve", "Answer machines: the daemon"),
    "status": ("bootd.cli.status:status", "How the service and the machines are doing"),
    "explain": ("bootd.cli.explain:explain", "What a machine would boot, by which rule, from which facts"),
    "trace": ("bootd.cli.trace:trace", "What a machine did: each boot as a timed chain"),
    "hosts": ("bootd.cli.hosts:hosts", "The host table: list, add, edit, import, export …"),
    "memory": ("bootd.cli.memory:memory", "Memory images: kernel and initramfs"),
    "boot": ("bootd.cli.boot:boot", "Tell machines what to boot"),
    "projects": ("bootd.cli.projects:projects", "Projects: who keeps images and books machines"),
    "images": ("bootd.cli.images:images", "Disk images in the dark store: scan, add, verify …"),
    "luns": ("bootd.cli.luns:luns", "LUN pairs of root nodes: which side is active, and what is staged"),
    "slots": ("bootd.cli.slots:slots", "Slots of mesh nodes: what their disks hold; pin, wipe, schemes"),
    "reservations": ("bootd.cli.reservations:reservations", "Reservations: who has which machines, when"),
    "deploy": ("bootd.cli.deploy:deploy", "Put an image on machines now, and see them boot it"),
    "jobs": ("bootd.cli.jobs:jobs", "Jobs: what is being done to machines and images, and what became of it"),
    "config": ("bootd.cli.config:config", "Check and show the configuration"),
    "lab": ("bootd.cli.lab:lab", "The virtual lab: QEMU machines in namespaces of their own"),
    "completion": ("bootd.cli.completion:completion", "Print the shell's completion script"),
}


class _ReaderGone(Exception):
    """The reader of our output (head, less) has seen enough; click would leave with 1 at its OSError."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.7)
        if near and args[0] not in COMMANDS:
            ctx.fail(f"No such command {args[0]!r}; did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[1]) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file (default: $BOOTD_CONFIG, else /etc/bootd/bootd.toml).",
)
@click.version_option(__version__, prog_name="bootd")
@click.pass_context
def bootd(ctx: click.Context, config_file: Path | None) -> None:
    """Network boot for machines that many people share: one process, every answer explained."""
    ctx.obj = Site(config_file)


def main(argv: list[str] | None = None) -> None:
    """Run one command and leave the process with its status: 0 done, 1 refused or failed, 2 wrong usage."""
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status instead of leaving."""
    try:
        result: Any = bootd.main(args=argv, prog_name="bootd", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BadText as error:
        click.echo(str(error), err=True)  # file:line: first, so that editors can jump there
        return error.exit_status
    except BootdError as error:
        click.echo(f"bootd: {error}", err=True)
        return error.exit_status
    except _ReaderGone:
        # nothing more to say, and no message at interpreter exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # a full disk under the output, an unwritable temporary folder: not ours, and no traceback
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"bootd: {error.strerror or error}{where}", err=True)
        return 1
    return result if isinstance(result, int) else 0
