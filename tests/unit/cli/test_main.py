"""``bootd`` itself: finds commands late, explains each, and ends with the right status."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bootd import __version__
from bootd.cli.main import COMMANDS
from bootd.cli.main import bootd as group
from tests.helpers.command import Bootd

ROOT = Path(__file__).parents[3]
HEAVY = ("aiohttp", "jinja2", "sqlite3", "sqlite_utils", "rich", "msgspec")


def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        with click.Context(command, info_name=name) as context:
            for verb in command.list_commands(context):
                below = command.get_command(context, verb)
                assert below is not None, verb
                yield from walk(f"{name} {verb}", below)


TREE = list(walk("bootd", group))
each = pytest.mark.parametrize(("name", "command"), TREE, ids=[name for name, _ in TREE])


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )


def test_every_command_of_the_table_is_in_the_tree() -> None:
    assert {f"bootd {name}" for name in COMMANDS} <= {name for name, _ in TREE}


@each
def test_command_says_what_it_does(name: str, command: click.Command) -> None:
    assert command.help
    assert command.get_short_help_str()


@each
def test_every_option_is_explained(name: str, command: click.Command) -> None:
    silent = [
        param.opts
        for param in command.params
        if isinstance(param, click.Option) and not param.help and not param.hidden
    ]
    assert silent == []


@each
def test_help_comes_by_either_option(name: str, command: click.Command, bootd: Bootd) -> None:
    words = name.split()[1:]
    said = bootd.good(*words, "--help").out
    assert said.startswith(f"Usage: {name} ")
    assert bootd.good(*words, "-h").out == said


def test_help_names_every_command_with_its_line(bootd: Bootd) -> None:
    said = bootd.good("--help").out
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in said
        assert line.split()[0] in said


def test_help_loads_nothing_heavy() -> None:
    loaded = python(
        "import sys\n"
        "from bootd.cli.main import run\n"
        "assert run(['--help']) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    assert loaded.stderr == "[]\n"
    assert "Commands" in loaded.stdout


@pytest.mark.parametrize("words", [["config", "show"], ["config", "check"], ["--version"]])
def test_configuration_is_shown_without_the_database_and_the_web(words: list[str]) -> None:
    loaded = python(
        "import sys\n"
        "from bootd.cli.main import run\n"
        f"assert run({words!r}) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    assert loaded.stderr == "[]\n"


def test_version_is_told(bootd: Bootd) -> None:
    assert bootd.good("--version").out == f"bootd, version {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["hots"], id="command"),
        pytest.param(["hosts", "lst"], id="verb"),
        pytest.param(["explain"], id="argument-missing"),
        pytest.param(["status", "--colour"], id="option"),
        pytest.param(["trace", "node1", "--last", "many"], id="value"),
    ],
)
def test_wrong_usage_ends_with_2(bootd: Bootd, words: list[str]) -> None:
    ended = bootd(*words)
    assert (ended.status, ended.out) == (2, "")
    assert "Usage: bootd" in ended.err


def test_refusal_ends_with_1_and_one_sentence(bootd: Bootd) -> None:
    ended = bootd("trace", "node77")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "bootd: no host 'node77'; give a name of `bootd hosts list` or a MAC address\n"


def test_mistakes_of_the_configuration_end_with_2_and_begin_with_file_and_line(bootd: Bootd) -> None:
    bootd.config.write_text('[http]\nport = "80"\n[tftp]\nprot = 1\n')
    ended = bootd("status")
    assert ended.status == 2
    assert [line.partition(" ")[0] for line in ended.err.splitlines()] == [
        f"{bootd.config}:2:",
        f"{bootd.config}:4:",
    ]


def test_named_configuration_that_is_not_there_ends_with_2(bootd: Bootd, tmp_path: Path) -> None:
    ended = bootd("--config", str(tmp_path / "none.toml"), "status")
    assert ended.status == 2
    assert "there is no such file" in ended.err


def test_named_configuration_goes_before_the_variable(bootd: Bootd, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("http.port = 81\n")
    shown = bootd.good("--config", str(other), "config", "show", "--json").json
    assert shown["http.port"] == {"value": 81, "source": f"{other}:1"}


def test_reader_that_has_seen_enough_is_no_failure() -> None:
    """``bootd … | head -1`` under ``set -o pipefail``."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bootd", "config", "show"],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_process_ends_with_the_status_of_its_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bootd", "--no-such-option"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_completion_script_is_of_the_shell_that_was_named(bootd: Bootd) -> None:
    for shell in ("bash", "zsh", "fish"):
        said = bootd.good("completion", shell).out
        assert f"_BOOTD_COMPLETE={shell}_complete" in said
    assert bootd("completion", "tcsh").status == 2


@pytest.mark.parametrize(
    ("words", "found"), [("bootd exp", "explain"), ("bootd trace no", "node1"), ("bootd explain no", "node1")]
)
def test_shell_completes_commands_and_hosts(bootd: Bootd, words: str, found: str) -> None:
    bootd.good("hosts", "add", "node1", "--mac", "52:54:00:00:00:01")
    done = subprocess.run(
        [sys.executable, "-m", "bootd"],
        cwd=ROOT,
        env=os.environ
        | {
            "_BOOTD_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
            "BOOTD_CONFIG": str(bootd.config),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"plain,{found}\n"


def test_a_command_that_is_nearly_right_is_suggested(bootd: Bootd) -> None:
    ended = bootd("host", "list")
    assert ended.status == 2
    assert "No such command 'host'; did you mean hosts?" in ended.err
    assert "did you mean" not in bootd("zzz").err


def test_output_that_finds_the_disk_full_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bootd.toml").write_text(f'[server]\ndata_dir = "{tmp_path}"\n')
    argv = [sys.executable, "-m", "bootd", "--config", str(tmp_path / "bootd.toml"), "config", "show"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
