"""The configuration: read in this one place, every key with a default, every mistake with its line."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bootd import subnets
from bootd.errors import BadConfig, Mistake
from bootd.workers import keys
from netboot.arch import BY_NAME
from netboot.dhcp.lease import Subnet

DEFAULT_FILE = Path("/etc/bootd/bootd.toml")
VARIABLE = "BOOTD_CONFIG"

# From Debian's ipxe package; `ipxe-arm64.efi` and `snponly-arm64.efi` where a newer one is installed.
DEFAULT_LOADERS: Mapping[str, str] = MappingProxyType(
    {
        "x86-bios": "undionly.kpxe",
        "x86-bios-http": "undionly.kpxe",
        "x86-uefi": "snponly-i386.efi",
        "x86-uefi-http": "snponly-i386.efi",
        "x64-uefi": "snponly.efi",
        "x64-uefi-http": "snponly.efi",
        "ebc": "snponly.efi",
        "ebc-http": "snponly.efi",
        "arm64-uefi": "snponly-arm64.efi",
        "arm64-uefi-http": "snponly-arm64.efi",
    }
)

Check = Callable[[Any], str | None]  # what was expected, or None where the value fits

_BROADCAST = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the file: its type, default and meaning."""

    name: str  # dotted
    default: Any
    check: Check
    help: str


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "text in quotes"


def _one_of(*words: str) -> Check:
    def check(value: Any) -> str | None:
        return None if value in words and isinstance(value, str) else "one of " + ", ".join(map(repr, words))

    return check


def _later(value_now: Any, feature: str) -> Check:
    def check(value: Any) -> str | None:
        is_now = value == value_now and type(value) is type(value_now)
        return None if is_now else f"{as_toml(value_now)}: {feature}"

    return check


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _port(value: Any) -> str | None:
    return None if type(value) is int and 1 <= value <= 65535 else "a port number from 1 to 65535"


def _texts(value: Any) -> str | None:
    ok = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
    return None if ok else 'a list of texts, such as ["eth1"]'


def _path(value: Any) -> str | None:
    return None if isinstance(value, str) and value.startswith("/") else "an absolute path"


def _path_or_empty(value: Any) -> str | None:
    return None if value == "" else _path(value)


def _paths(value: Any) -> str | None:
    ok = isinstance(value, list) and all(_path(item) is None for item in value)
    return None if ok else "a list of absolute paths"


def _address(value: Any) -> str | None:
    """An address that machines can be told: of one machine, or empty."""
    if value == "":
        return None
    address = _ipv4(value)
    nobody = address is None or address.is_unspecified or address.is_multicast or address == _BROADCAST
    return 'an IPv4 address such as "10.0.0.2"' if nobody else None


def _ipv4(value: Any) -> IPv4Address | None:
    try:
        return IPv4Address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _endpoints(value: Any) -> str | None:
    ok = isinstance(value, list) and all(isinstance(item, str) and _endpoint(item) for item in value)
    return None if ok else 'a list of "address:port"'


def _endpoint(text: str) -> bool:
    address, _, port = text.rpartition(":")
    is_number = port.isascii() and port.isdecimal() and len(port) <= 5
    return _ipv4(address) is not None and is_number and _port(int(port)) is None


def _url(value: Any) -> str | None:
    ok = value == "" or (isinstance(value, str) and re.fullmatch(r"sqlite:////.*[^/]", value))
    return None if ok else '"sqlite:////absolute/path.db"'


def _loader(value: Any) -> str | None:
    ok = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", value) and ".." not in value
    return None if ok else "a file name below tftp.root or a loader folder"


KEYS = (
    Key(
        "server.interfaces",
        [],
        _texts,
        "interfaces to serve; none named: all that are up with IPv4, but loopback",
    ),
    Key("server.address", "", _address, "address to tell machines; empty: the receiving interface's own"),
    Key("server.data_dir", "/var/lib/bootd", _path, "database, memory images, boot files, overrides"),
    Key("server.user", "bootd", _text, "whom to become after binding the ports; empty: stay root"),
    Key("server.log_level", "info", _one_of("debug", "info", "warning", "error"), "what to log"),
    Key("store.url", "", _url, "the database; empty: bootd.db in data_dir"),
    Key("images.dark_store", "", _path_or_empty, "where disk images are kept; empty: dark in data_dir"),
    Key("images.dark_store_mount", False, _flag, "the dark store is a mount; not mounted, it is away"),
    *(Key(*row) for row in keys.ROWS),
    Key(
        "dhcp.mode",
        "proxy",
        _one_of("proxy", "authoritative", "off"),
        "proxy: answer beside the site's DHCP server; authoritative: give known hosts their addresses too",
    ),
    Key("dhcp.uefi", "boot-server", _one_of("boot-server", "offer"), "how UEFI learns its boot file"),
    Key("tftp.root", "", _path_or_empty, "your own boot files, before ours; empty: boot in data_dir"),
    Key("tftp.port", 69, _port, "where TFTP listens"),
    Key("tftp.server", "", _address, "another machine's TFTP server for the loaders; empty: ourselves"),
    Key("tftp.loader_dirs", ["/usr/lib/ipxe"], _paths, "where network boot programs are looked for"),
    Key("http.port", 8080, _port, "boot scripts, files, node reports"),
    Key(
        "http.admin.listen",
        [],
        _endpoints,
        "TCP addresses of the admin API; its socket in data_dir is always there",
    ),
    Key("http.admin.token_file", "", _path_or_empty, "file with the token that TCP admin calls must carry"),
    Key("dns.enabled", False, _later(False, "this version has no DNS yet"), "the small DNS"),
    Key("dns.port", 53, _port, "where DNS listens"),
    Key("dns.zone", "lab.", _text, "the zone of the hosts"),
    Key(
        "nodes.unknown",
        "ignore",
        _later("ignore", "this version leaves unknown machines alone"),
        "unknown machines",
    ),
)
_BY_NAME = {key.name: key for key in KEYS}
_TABLES = {name.rpartition(".")[0] for name in _BY_NAME} | {"loaders"}


@dataclass(frozen=True, slots=True)
class Value:
    """An effective value and where it came from: ``default`` or ``FILE:LINE``."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """Every effective value, by dotted name; the attributes below are what the rooms are given."""

    values: Mapping[str, Value]
    file: Path | None

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    @property
    def data_dir(self) -> Path:
        return Path(self["server.data_dir"])

    @property
    def store_url(self) -> str:
        return self["store.url"] or f"sqlite:///{self.data_dir}/bootd.db"

    @property
    def database(self) -> Path:
        """The file that `store_url` names."""
        return Path(self.store_url.removeprefix("sqlite:///"))

    @property
    def tftp_root(self) -> Path:
        return Path(self["tftp.root"] or self.data_dir / "boot")

    @property
    def dark_store(self) -> Path:
        return Path(self["images.dark_store"] or self.data_dir / "dark")

    @property
    def subnets(self) -> Mapping[str, Subnet]:
        """The networks of which known hosts are given addresses, by name."""
        return {name: subnets.make(table) for name, table in _subnet_tables(self).items()}

    @property
    def loaders(self) -> Mapping[str, str]:
        """Architecture name → file name of its loader."""
        prefix = "loaders."
        return {name[len(prefix) :]: v.value for name, v in self.values.items() if name.startswith(prefix)}


def load(path: Path | None = None) -> Config:
    """Read *path*, else ``$BOOTD_CONFIG``, else the default file if there is one.

    Raises `BadConfig` with every mistake in it.
    """
    named = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    file = named or DEFAULT_FILE
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors put a byte order mark in front
    except FileNotFoundError as error:
        if named is None:
            return parse("", None)
        raise BadConfig(str(file), [Mistake(0, "there is no such file")]) from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise BadConfig(str(file), [Mistake(0, f"cannot read the configuration: {why}")]) from error
    return parse(text, file)


def parse(text: str, file: Path | None) -> Config:
    """Return the configuration *text* describes; raises `BadConfig`."""
    source = str(file or "configuration")
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        place = re.search(r"line (\d+)", str(error))
        raise BadConfig(source, [Mistake(int(place[1]) if place else 0, f"not TOML: {error}")]) from error
    lines = _lines_of_keys(text)
    mistakes: list[Mistake] = []
    given = _flatten(document, lines, mistakes)
    values = {key.name: Value(key.default, "default") for key in KEYS}
    values |= {f"loaders.{arch}": Value(name, "default") for arch, name in DEFAULT_LOADERS.items()}
    for name, value in given.items():
        line = _line_of(name, lines)
        wrong = _wrong(name, value)
        if wrong is not None:
            mistakes.append(Mistake(line, wrong))
        else:
            values[name] = Value(value, f"{source}:{line}")
    for subnet in subnets.tables(given):
        defaults = {f"{subnets.TABLE}.{subnet}.{key}": each[0] for key, each in subnets.KEYS.items()}
        values |= {name: Value(value, "default") for name, value in defaults.items() if name not in given}
    config = Config(MappingProxyType(values), file)
    mistakes += _contradictions(config, lines)
    if mistakes:
        raise BadConfig(source, sorted(mistakes, key=lambda mistake: mistake.line))
    return config


def _wrong(name: str, value: Any) -> str | None:
    """Return what is wrong with *name* = *value*, or None."""
    key = _BY_NAME.get(name)
    table, _, last = name.rpartition(".")
    if table == "loaders":
        if last not in BY_NAME:
            return f"loaders.{last}: no such architecture; known: " + ", ".join(sorted(BY_NAME))
        expected = _loader(value)
    elif (place := subnets.split(name)) is not None:
        if place[1] not in subnets.KEYS:
            return f"{name}: no such key; a subnet has " + ", ".join(subnets.KEYS)
        expected = subnets.KEYS[place[1]][1](value)
    elif name in _TABLES or f"{name}.".startswith(f"{subnets.TABLE}."):
        expected = f"a table: [{name}]"
    elif key is None:
        near = _nearest(name)
        return f"{name}: no such key" + (f"; did you mean {near}?" if near else "")
    else:
        expected = key.check(value)
    return None if expected is None else f"{name} = {as_toml(value)}: expected {expected}"


def _nearest(name: str) -> str | None:
    import difflib

    matches = difflib.get_close_matches(name, _BY_NAME, n=3, cutoff=0.7)
    swapped = [match for match in matches if sorted(match) == sorted(name)]  # letters in another order
    return next(iter([*swapped, *matches]), None)


def _flatten(
    document: Mapping[str, Any], lines: Mapping[str, int], mistakes: list[Mistake]
) -> dict[str, Any]:
    """Return dotted name → value; a table that is none of ours is one mistake, not one for each key in it."""
    flat: dict[str, Any] = {}

    def walk(table: Mapping[str, Any], prefix: str) -> None:
        for key, value in table.items():
            name = prefix + key
            if not isinstance(value, dict):
                flat[name] = value
            elif any(f"{known}.".startswith(f"{name}.") for known in (*_TABLES, subnets.TABLE)):
                walk(value, name + ".")
            elif subnets.split(f"{name}.network"):
                walk(value or {"network": ""}, name + ".")  # an empty table lacks its network
            else:
                known = ", ".join(f"[{table}]" for table in sorted({*_TABLES, f"{subnets.TABLE}.NAME"}))
                mistakes.append(Mistake(_line_of(name, lines), f"[{name}]: no such table; known: {known}"))

    walk(document, "")
    return flat


def _contradictions(config: Config, lines: Mapping[str, int]) -> list[Mistake]:
    """Return mistakes that take more than one key to see."""
    found: list[Mistake] = []
    remote = [e for e in config["http.admin.listen"] if not IPv4Address(e.rpartition(":")[0]).is_loopback]
    if remote and not config["http.admin.token_file"]:
        text = f"{remote[0]} can be reached from other machines: http.admin.token_file must be set"
        found = [Mistake(_line_of("http.admin.listen", lines), f"http.admin.listen: {text}")]
    tables = _subnet_tables(config)
    for name, text in subnets.mistakes(tables):
        found.append(Mistake(_line_of(name, lines), f"{name}: {text}"))
    if config["dhcp.mode"] == "authoritative" and not tables:
        text = 'of which network? Name one: [dhcp.subnets.lab] with network = "10.0.0.0/24"'
        found.append(Mistake(_line_of("dhcp.mode", lines), f'dhcp.mode = "authoritative": {text}'))
    found += [Mistake(_line_of(name, lines), text) for name, text in keys.lacking(config.__getitem__)]
    return found


def _subnet_tables(config: Config) -> dict[str, dict[str, Any]]:
    return subnets.tables({name: value.value for name, value in config.values.items()})


def as_toml(value: Any) -> str:
    """Return *value* as the file would spell it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)


def _lines_of_keys(text: str) -> dict[str, int]:
    """Return the line on which each dotted name is given; good enough to point at, not a TOML parser."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header and not key:
            table = _bare(header[1])
            found.setdefault(table, number)
        elif key:
            name = _bare(key[1])
            found.setdefault(f"{table}.{name}" if table else name, number)
    return found


def _line_of(name: str, lines: Mapping[str, int]) -> int:
    """Return the line of *name*, else of the table it is in (``http = { port = 80 }``); 0 for neither."""
    while name and name not in lines:
        name = name.rpartition(".")[0]
    return lines.get(name, 0)


def _bare(dotted: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in dotted.split("."))
