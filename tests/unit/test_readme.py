"""The README and the program say the same."""

import re
from pathlib import Path

from bootd.boot.decide import RULES
from bootd.cli.main import COMMANDS
from bootd.config import KEYS
from bootd.subnets import KEYS as OF_SUBNETS

README = (Path(__file__).parents[2] / "README.md").read_text()


def section(heading: str) -> str:
    """Return the text from *heading* to the next one of its depth."""
    _, found, rest = README.partition(f"{heading}\n")
    assert found, f"README.md has no {heading}"
    return rest.partition(f"\n{heading.split()[0]} ")[0]


def first_column(text: str) -> set[str]:
    """Return what stands in backticks in the first column of the tables in *text*."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {word for cell in cells for word in re.findall("`([^`]+)`", cell)}


def test_every_key_of_the_configuration_is_in_its_table_and_no_other() -> None:
    documented = first_column(section("## Configuration"))
    subnets = {f"dhcp.subnets.NAME.{key}" for key in OF_SUBNETS}
    assert documented == {key.name for key in KEYS} | {"loaders.ARCHITECTURE"} | subnets


def test_plain_defaults_in_the_table_are_the_real_ones() -> None:
    rows = [line.split("|") for line in section("## Configuration").splitlines() if line.startswith("| `")]
    told = {row[1].strip().strip("`"): row[2].strip().strip("`") for row in rows}
    numbers = {key.name: str(key.default) for key in KEYS if type(key.default) is int and key.name in told}
    assert numbers
    assert {name: told[name] for name in numbers} == numbers
    for name in ("server.data_dir", "server.user", "server.log_level", "dhcp.mode", "dhcp.uefi"):
        assert told[name] == next(key.default for key in KEYS if key.name == name)


def test_rules_in_the_table_are_rules_of_the_decision() -> None:
    documented = first_column(section("### What a machine boots"))
    assert documented
    assert documented <= set(RULES)


def test_every_command_that_is_named_is_there() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`bootd ([a-z]+)", README))
    named |= set(re.findall(r"(?:^|/)bootd ([a-z]+)", "\n".join(blocks), re.MULTILINE))
    assert len(named) > 5
    assert named <= set(COMMANDS)
