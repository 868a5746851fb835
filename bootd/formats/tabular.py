"""CSV: a header names the columns; a column that is no field of a host is a setting."""

import csv
import io
from collections.abc import Sequence

from bootd.errors import BadValue
from bootd.formats.fields import Checker, Row, setting
from bootd.model import Host

FIELDS = ("name", "mac", "ip", "number", "role", "local_boot", "groups")


def parse(text: str, source: str = "csv") -> tuple[Row, ...]:
    """Return the rows of *text*, which may be separated by commas or semicolons; raises `BadText`."""
    checker, rows = Checker(), []
    text = text.removeprefix("\ufeff")  # spreadsheets write it
    first = text.partition("\n")[0]
    separator = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(checker, header)
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                host = _read(checker, line, header, cells)
                rows += [Row(host, line)] if host is not None else []
            line = reader.line_num + 1
    except csv.Error as error:
        checker.wrong(max(reader.line_num, 1), f"not CSV: {error}")
    return checker.finish(source, rows)


def _check_header(checker: Checker, header: Sequence[str]) -> None:
    if "mac" not in header:
        checker.wrong(
            1, "the first line names the columns, and 'mac' must be one of them: " + ",".join(FIELDS)
        )
        return
    for index, name in enumerate(header):
        if name in header[:index]:
            checker.wrong(1, f"column {name!r} is there twice")
        elif name not in FIELDS:
            try:
                setting(name, _sample(name))
            except BadValue as error:
                checker.wrong(1, f"column {name!r}: {error}")


def _sample(name: str) -> str:
    """Return a value that fits the setting *name*: only its name is on trial."""
    from bootd.model import SETTING_VALUES

    return SETTING_VALUES.get(name, ("00000000-0000-0000-0000-000000000000",))[0]


def _read(checker: Checker, line: int, header: Sequence[str], cells: Sequence[str]) -> Host | None:
    if len(cells) > len(header):
        checker.wrong(line, f"{len(cells)} cells for {len(header)} columns")
        return None
    given = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name in FIELDS}
    settings = {name: cell for name, cell in zip(header, cells, strict=False) if name not in FIELDS and cell}
    return checker.host(line, given, settings)


def format_hosts(hosts: Sequence[Host], layout: str = "") -> str:
    """Write *hosts* with a column for each setting that any of them has; *layout* is not used."""
    keys = sorted({key for host in hosts for key in host.settings})
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*FIELDS, *keys])
    for host in hosts:
        number = "" if host.number is None else host.number
        fields = (host.name, host.mac, host.ip or "", number, str(host.role), host.local_boot or "")
        writer.writerow([*fields, ",".join(host.groups), *(host.settings.get(key, "") for key in keys)])
    return out.getvalue()
