"""Redraw the pages that are made from tables: ``python -m tests.docs``."""

from pathlib import Path

from bootd.lifecycle import ALL, Lifecycle

LIFECYCLES = Path(__file__).parents[1] / "bootd/lifecycle/README.md"

_HEAD = """\
# bootd/lifecycle/: how things move

Lifecycles are data: `tables.py` holds every state and every move, `machine.py` asks one question of
a table, `Lifecycle.after`. A move that is not in the table is refused, with what is possible instead.
Services change a record's state through its table only, in a transaction that journals who did it.

This page is drawn from the tables (`make docs`); a test compares the two.
"""


def lifecycles() -> str:
    """Return the README of bootd/lifecycle/."""
    return "\n".join([_HEAD, *map(_section, ALL)])


def _section(table: Lifecycle) -> str:
    rows = "\n".join(f"| `{state}` | {meaning} |" for state, meaning in table.states.items())
    return f"## {table.name}\n\n```mermaid\n{table.mermaid()}```\n\n| state | means |\n|---|---|\n{rows}\n"


if __name__ == "__main__":
    LIFECYCLES.write_text(lifecycles(), encoding="utf-8")
