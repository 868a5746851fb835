"""What the shell completes."""

from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from bootd.cli.main import bootd as command
from bootd.lab import Lab
from bootd.lab.machines import Kind, NodeSpec
from bootd.lab.state import Node
from tests.helpers.command import Bootd
from tests.helpers.site import an_image


def completed(words: list[str], incomplete: str) -> list[str]:
    shell = ShellComplete(command, {}, "bootd", "_BOOTD_COMPLETE")
    return [item.value for item in shell.get_completions(words, incomplete)]


@pytest.fixture
def site(bootd: Bootd) -> Bootd:
    bootd.good("hosts", "add", "node1", "--mac", "52:54:00:00:00:01", "--role", "mesh", "--group", "rack1")
    bootd.good("hosts", "add", "node2", "--mac", "52:54:00:00:00:02")
    with bootd.store() as store, store.transaction("anna") as change:
        change.put_memory_image(an_image("debian"))
    return bootd


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["boot"], "node", ["node1", "node2"]),
        (["boot"], "node1,@", ["node1,@all", "node1,@role:mesh", "node1,@rack1"]),
        (["boot", "node1"], "", ["local", "default", "memory:debian"]),
        (["boot", "node1"], "mem", ["memory:debian"]),
        (["hosts", "show"], "@r", ["@role:mesh", "@rack1"]),
        (["hosts", "set", "node1", "--group"], "", ["rack1"]),
        (["memory", "verify"], "d", ["debian"]),
    ],
)
def test_words_come_from_the_store(site: Bootd, words: list[str], incomplete: str, found: list[str]) -> None:
    assert completed(words, incomplete) == found


def test_completing_makes_no_database(bootd: Bootd) -> None:
    assert completed(["boot"], "") == ["@all"]
    assert list(bootd.data.iterdir()) == []


def test_errors_are_silent(site: Bootd, capsys: pytest.CaptureFixture[str]) -> None:
    site.config.write_text("this is not TOML")
    assert completed(["boot"], "") == []
    assert capsys.readouterr() == ("", "")


def test_every_command_of_ours_has_help_and_json_where_it_prints_data(bootd: Bootd) -> None:
    for noun in ("hosts", "memory"):
        group = command.get_command(click.Context(command), noun)
        assert isinstance(group, click.Group)
        for verb, each in group.commands.items():
            assert each.help, (noun, verb)
            options = {option for parameter in each.params for option in parameter.opts}
            assert verb not in {"list", "show", "diff", "import"} or "--json" in options, (noun, verb)


def test_machines_of_the_lab_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab("one", root=tmp_path)
    with lab.run.change() as state:
        state.nodes["bios1"] = Node(NodeSpec("bios1", Kind.BIOS), "tap0")
    monkeypatch.setattr("bootd.lab.labs", lambda: ["one"])
    monkeypatch.setattr("bootd.lab.Lab", lambda name: lab)
    assert completed(["lab", "boot"], "b") == ["bios1"]
    assert completed(["lab", "console", "--name", "one"], "") == ["bios1"]
    assert completed(["lab", "console"], "u") == []
