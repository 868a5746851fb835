"""The configuration: every key has a default, every mistake its line."""

from pathlib import Path
from typing import Any

import pytest

from bootd import config
from bootd.config import DEFAULT_LOADERS, KEYS, as_toml, load, parse
from bootd.errors import BadConfig, Mistake
from netboot.arch import BY_NAME

FILE = Path("/etc/bootd/bootd.toml")


def mistakes(text: str) -> list[Mistake]:
    with pytest.raises(BadConfig) as caught:
        parse(text, FILE)
    return list(caught.value.mistakes)


def the_mistake(text: str) -> str:
    """Return the only mistake in *text* as ``line: message``."""
    [mistake] = mistakes(text)
    return f"{mistake.line}: {mistake.message}"


def given(name: str, literal: str) -> str:
    """Return a file that gives *name* the value *literal*, on its second line."""
    table, _, key = name.rpartition(".")
    return f"[{table}]\n{key} = {literal}\n"


# -- defaults -------------------------------------------------------------------------------


def test_without_a_file_every_key_has_its_default() -> None:
    found = parse("", None)
    assert {key.name: found[key.name] for key in KEYS} == {key.name: key.default for key in KEYS}
    assert {value.source for value in found.values.values()} == {"default"}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_default_is_a_value_that_the_file_may_give(key: config.Key) -> None:
    assert key.check(key.default) is None
    assert parse(given(key.name, as_toml(key.default)), FILE)[key.name] == key.default


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_says_what_it_means_and_refuses_another_type(key: config.Key) -> None:
    assert key.help
    assert the_mistake(given(key.name, "1979-05-27")).startswith(f"2: {key.name} = 1979-05-27: expected ")


def test_default_loaders_are_for_architectures_there_are() -> None:
    assert set(DEFAULT_LOADERS) <= set(BY_NAME)


def test_what_is_kept_in_the_data_folder_moves_with_it() -> None:
    found = parse('[server]\ndata_dir = "/srv/bootd"\n', FILE)
    assert found.data_dir == Path("/srv/bootd")
    assert found.store_url == "sqlite:////srv/bootd/bootd.db"
    assert found.tftp_root == Path("/srv/bootd/boot")


def test_what_is_named_stays_where_it_is() -> None:
    found = parse('[store]\nurl = "sqlite:////srv/other.db"\n[tftp]\nroot = "/srv/tftp"\n', FILE)
    assert found.store_url == "sqlite:////srv/other.db"
    assert found.tftp_root == Path("/srv/tftp")


def test_one_loader_can_be_changed_and_others_named() -> None:
    found = parse('[loaders]\nx64-uefi = "ipxe.efi"\nriscv64-uefi = "riscv/snponly.efi"\n', FILE)
    assert found.loaders == {**DEFAULT_LOADERS, "x64-uefi": "ipxe.efi", "riscv64-uefi": "riscv/snponly.efi"}
    assert found.values["loaders.x64-uefi"].source == f"{FILE}:2"


# -- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "literal", "value"),
    [
        ("server.interfaces", '["eth1", "eth2"]', ["eth1", "eth2"]),
        ("server.address", '"10.0.0.2"', "10.0.0.2"),
        ("server.user", '""', ""),
        ("tftp.port", "65535", 65535),
        ("dhcp.mode", '"off"', "off"),
        ("http.admin.listen", '["127.0.0.1:8081"]', ["127.0.0.1:8081"]),
    ],
)
def test_value_of_the_file_holds_and_names_its_line(name: str, literal: str, value: Any) -> None:
    found = parse(given(name, literal), FILE)
    assert found[name] == value
    assert found.values[name].source == f"{FILE}:2"


@pytest.mark.parametrize(
    ("name", "literal", "expected"),
    [
        pytest.param("http.port", '"80"', "a port number from 1 to 65535", id="port-as-text"),
        pytest.param("http.port", "0", "a port number", id="port-zero"),
        pytest.param("http.port", "65536", "a port number", id="port-too-high"),
        pytest.param("http.port", "true", "a port number", id="port-as-flag"),
        pytest.param("server.interfaces", '"eth1"', "a list of texts", id="list-as-text"),
        pytest.param("server.interfaces", '["eth1", ""]', "a list of texts", id="empty-interface"),
        pytest.param("server.interfaces", "[1]", "a list of texts", id="list-of-numbers"),
        pytest.param("server.address", '"10.0.0"', "an IPv4 address", id="address-short"),
        pytest.param("server.address", "167772162", "an IPv4 address", id="address-as-number"),
        pytest.param("server.address", '"0.0.0.0"', "an IPv4 address", id="address-of-nobody"),
        pytest.param("server.address", '"224.0.0.1"', "an IPv4 address", id="address-of-a-group"),
        pytest.param("server.address", '"255.255.255.255"', "an IPv4 address", id="address-of-all"),
        pytest.param("tftp.server", '"fe80::1"', "an IPv4 address", id="ipv6"),
        pytest.param("server.data_dir", '"var/lib"', "an absolute path", id="relative-path"),
        pytest.param("server.data_dir", '""', "an absolute path", id="no-path"),
        pytest.param("tftp.loader_dirs", '["lib"]', "a list of absolute paths", id="relative-paths"),
        pytest.param("server.log_level", '"loud"', "one of 'debug', 'info'", id="log-level"),
        pytest.param("dhcp.mode", '"on"', "one of 'proxy', 'authoritative', 'off'", id="mode"),
        pytest.param("dns.enabled", "true", "false: this version has no DNS yet", id="dns"),
        pytest.param("dns.enabled", "0", "false: this version", id="flag-as-number"),
        pytest.param("nodes.unknown", '"discover"', '"ignore": this version', id="discover"),
        pytest.param("store.url", '"postgresql://db/bootd"', '"sqlite:////absolute/path.db"', id="database"),
        pytest.param("store.url", '"sqlite:///bootd.db"', '"sqlite:////absolute', id="relative-database"),
        pytest.param("store.url", '"sqlite:////"', '"sqlite:////absolute', id="database-without-a-name"),
        pytest.param("http.admin.listen", '["localhost:80"]', 'list of "address:port"', id="endpoint-name"),
        pytest.param("http.admin.listen", '["127.0.0.1"]', 'list of "address:port"', id="endpoint-portless"),
        pytest.param("http.admin.listen", '["127.0.0.1:x"]', 'list of "address:port"', id="endpoint-port"),
        pytest.param("http.admin.listen", f'["127.0.0.1:{"9" * 5000}"]', "address:port", id="endpoint-long"),
        pytest.param("loaders.x64-uefi", '"../ipxe.efi"', "a file name below tftp.root", id="loader-up"),
        pytest.param("loaders.x64-uefi", '"/ipxe.efi"', "a file name below tftp.root", id="loader-absolute"),
        pytest.param("loaders.x64-uefi", "7", "a file name below tftp.root", id="loader-number"),
    ],
)
def test_value_that_does_not_fit_says_what_was_expected(name: str, literal: str, expected: str) -> None:
    said = the_mistake(given(name, literal))
    assert said.startswith(f"2: {name} = {literal}: expected ")
    assert expected in said


def test_admin_listener_that_others_can_reach_needs_a_token() -> None:
    text = '[http.admin]\nlisten = ["127.0.0.1:81", "0.0.0.0:81"]\n'
    said = the_mistake(text)
    assert said.startswith("2: http.admin.listen: 0.0.0.0:81 can be reached")
    assert parse(text + 'token_file = "/etc/bootd/token"\n', FILE)["http.admin.token_file"]


def test_lun_backend_is_told_what_it_lacks() -> None:
    ontap = '[luns]\nbackend = "ontap"\n[luns.ontap]\nhost = "10.0.0.9"\nuser = "bootd"\nsvm = "svm1"\n'
    said = the_mistake(ontap)
    missing = "luns.ontap.password_file, luns.ontap.volume must be set"
    assert said == f'2: luns.backend = "ontap": {missing}'
    lio = '[luns]\nbackend = "lio"\n'
    assert "root alone: server.user must be" in the_mistake(lio)
    assert parse(lio + '[server]\nuser = ""\n', FILE)["luns.backend"] == "lio"


# -- keys -----------------------------------------------------------------------------------


def test_misspelt_key_is_told_the_right_one() -> None:
    assert the_mistake("[tftp]\nprot = 69\n") == "2: tftp.prot: no such key; did you mean tftp.port?"


def test_unknown_table_is_one_mistake_however_much_is_in_it() -> None:
    said = the_mistake("\n[ftp]\nport = 21\nroot = 1\n[ftp.more]\nx = 1\n")
    assert said.startswith("2: [ftp]: no such table; known: [calendar], [dhcp]")


def test_value_where_a_table_belongs_is_told_so() -> None:
    assert the_mistake('server = "here"\n') == '1: server = "here": expected a table: [server]'


def test_unknown_architecture_is_told_the_known_ones() -> None:
    said = the_mistake('[loaders]\namd64 = "ipxe.efi"\n')
    assert said.startswith("2: loaders.amd64: no such architecture; known: ")
    assert "x64-uefi" in said


def test_all_mistakes_come_at_once_in_the_order_of_lines() -> None:
    text = '[http]\nport = "80"\n[nodes]\nunknown = 1\n[tftp]\nprot = 69\n'
    assert [mistake.line for mistake in mistakes(text)] == [2, 4, 6]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param('http = { port = "x" }\n', 1, id="inline-table"),
        pytest.param('\nhttp.port = "x"\n', 2, id="dotted-key"),
        pytest.param('[ http ] # web\r\n\r\nport="x"\r\n', 3, id="dos-line-ends"),
        pytest.param(
            '[server]\ninterfaces = [\n  "eth1",\n]\n[http]\n"port" = "x"\n', 6, id="after-an-array"
        ),
        pytest.param('# a\u2028b\n[http]\nport = "x"\n', 3, id="line-separator-in-a-comment"),
        pytest.param('[http.admin]\nlisten = []\n[http]\nport = "x"\n', 4, id="table-below-first"),
    ],
)
def test_mistake_names_its_line(text: str, line: int) -> None:
    assert [mistake.line for mistake in mistakes(text)] == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("[http]\nport = \n", 2, id="no-value"),
        pytest.param("[http]\nport = 1\nport = 2\n", 3, id="twice"),
        pytest.param(f"[http]\nport = {'9' * 5000}\n", 0, id="endless-number"),
    ],
)
def test_text_that_is_no_toml_is_one_mistake(text: str, line: int) -> None:
    [mistake] = mistakes(text)
    assert mistake.message.startswith("not TOML: ")
    assert mistake.line == line


# -- files ----------------------------------------------------------------------------------


@pytest.fixture
def no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither the variable nor a default file; returns where that would be."""
    monkeypatch.delenv(config.VARIABLE, raising=False)
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "default.toml")
    return tmp_path / "default.toml"


def test_without_any_file_all_is_default(no_default: Path) -> None:
    assert load().file is None


def test_named_file_goes_before_the_variable_and_that_before_the_default(
    no_default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, variable = tmp_path / "named.toml", tmp_path / "variable.toml"
    for port, file in enumerate((no_default, variable, named), 8001):
        file.write_text(f"[http]\nport = {port}\n")
    assert load()["http.port"] == 8001
    monkeypatch.setenv(config.VARIABLE, str(variable))
    assert load()["http.port"] == 8002
    assert load(named)["http.port"] == 8003
    assert load(named).file == named


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_named_file_that_is_not_there_is_a_mistake(
    by: str, no_default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing.toml"
    if by == "variable":
        monkeypatch.setenv(config.VARIABLE, str(missing))
    with pytest.raises(BadConfig, match=r"missing\.toml: there is no such file"):
        load(missing if by == "argument" else None)


def test_file_that_cannot_be_read_is_a_mistake_and_no_traceback(no_default: Path) -> None:
    no_default.mkdir()
    with pytest.raises(BadConfig, match="cannot read the configuration: Is a directory"):
        load()


def test_file_in_another_encoding_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes('[dns]\nzone = "köln."\n'.encode("latin-1"))
    with pytest.raises(BadConfig, match="not UTF-8 text"):
        load(file)


def test_byte_order_mark_of_an_editor_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "bom.toml"
    file.write_bytes(b"\xef\xbb\xbf[http]\nport = 81\n")
    assert load(file)["http.port"] == 81


@pytest.mark.parametrize("value", ['a "quoted" \\ word', True, 69, ["a", "b"], [], ""])
def test_values_are_spelled_so_that_toml_reads_them_back(value: Any) -> None:
    import tomllib

    assert tomllib.loads(f"x = {as_toml(value)}") == {"x": value}
