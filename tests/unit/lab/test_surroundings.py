"""What the lab needs, and the configurations it writes."""

import tomllib
from pathlib import Path

import pytest

from bootd.config import parse
from bootd.lab import LabError, needs, target
from bootd.lab.network import Network, inside, loss_rules
from bootd.lab.servers import bootd_config, site_config


def test_all_missing_packages_are_named_at_once_and_each_once() -> None:
    assert needs.missing(needs.COMMON.items(), lambda thing: thing == "ip") == [
        "dnsmasq-base", "qemu-system-x86", "ipxe", "ipxe-qemu", "ovmf",
    ]  # fmt: skip


def test_missing_packages_come_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(needs, "COMMON", {"/nowhere/a": "aaa", "/nowhere/b": "bbb"})
    with pytest.raises(LabError, match="apt-get install -y --no-install-recommends aaa bbb"):
        needs.check()


def test_without_root_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        needs.check()


def test_the_sites_server_knows_nothing_of_booting() -> None:
    text = site_config(Path("/run/x"))
    for word in ("tftp", "pxe", "dhcp-boot", "option=66", "option=67"):
        assert word not in text
    assert "enable-ra" in text  # iPXE waits 16 s a stage without
    assert "no-ping" in text


def test_site_without_dhcp_is_a_router_that_gives_no_ipv4_address() -> None:
    text = site_config(Path("/run/x"), has_dhcp=False)
    assert [line for line in text.splitlines() if line.startswith("dhcp-range")] == [
        "dhcp-range=fd99::,ra-only,64,10m"
    ]


def test_the_labs_configuration_is_one_that_bootd_takes() -> None:
    text = bootd_config(Path("/run/x"), "[dhcp]\nuefi = 'offer'\n")
    config = parse(text, None)
    assert config["server.interfaces"] == ["eth0"]
    assert config["dhcp.uefi"] == "offer"
    assert tomllib.loads(text)["server"]["data_dir"] == "/run/x/data"


def test_the_labs_target_is_its_own_and_bootd_is_told_of_it() -> None:
    config = parse(bootd_config(Path("/run/x"), target.CONFIG), None)
    assert (config["luns.backend"], config["luns.stage_ahead"]) == ("tgt", 1440)
    assert target.environment(Path("/run/x")) == {"TGT_IPC_SOCKET": "/run/x/tgtd"}
    words = target.command(["10.99.0.2:3260", "10.99.0.2:3261"])
    assert "portal=10.99.0.2:3260,portal=10.99.0.2:3261" in words


def test_what_luns_disks_and_imaging_need_is_asked_for_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for table in ("COMMON", "LUNS", "DISKS", "IMAGING"):
        monkeypatch.setattr(needs, table, {f"/nowhere/{table}": table.lower()})
    for wanted, packages in [
        ({}, "common"),
        ({"luns": True}, "common luns"),
        ({"disks": True}, "common disks"),
        ({"disks": True, "imaging": True}, "common disks imaging"),
    ]:
        with pytest.raises(LabError, match=f"--no-install-recommends {packages}$"):
            needs.check(**wanted)


@pytest.mark.parametrize(("percent", "rule"), [(5, "mod 1000 < 50"), (0.5, "mod 1000 < 5"), (12.5, "< 125")])
def test_loss_is_counted_in_thousandths(percent: float, rule: str) -> None:
    assert rule in loss_rules(percent)


def test_each_lab_has_namespaces_of_its_own() -> None:
    assert Network("a").namespaces == ("bootd-a-lan", "bootd-a-site", "bootd-a-boot")
    assert inside("ns", ["true"]) == ["ip", "netns", "exec", "ns", "true"]
