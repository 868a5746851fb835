"""Rows for people: a rich table on a terminal, plain columns in a pipe."""

from collections.abc import Sequence

import click

from bootd.cli.context import is_terminal


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print *rows* under *headers*; every cell is text."""
    if is_terminal():
        _print_rich(headers, rows)
        return
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]
    layout = "  ".join(f"{{:<{width}}}" for width in widths)
    click.echo("\n".join(layout.format(*row).rstrip() for row in (headers, *rows)))


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a "[" in a cell is no markup
    Console().print(table)
