"""The names loaders try, and whose they are."""

import pytest

from bootd.boot.names import ScriptName, parse_script_name
from netboot.request import Stage

MAC = "88:99:aa:bb:cc:dd"
UUID = "b8945908-d6a6-41a9-611d-74a6ab80b83d"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("pxelinux.cfg/01-88-99-aa-bb-cc-dd", ScriptName("pxelinux", MAC), id="pxelinux-mac"),
        pytest.param(f"bios/pxelinux.cfg/{UUID}", ScriptName("pxelinux", "", UUID), id="pxelinux-uuid"),
        pytest.param("grub.cfg-01-88-99-aa-bb-cc-dd", ScriptName("grub", MAC), id="grub-as-its-code"),
        pytest.param(
            "boot/grub/grub.cfg-88-99-AA-BB-CC-DD", ScriptName("grub", MAC), id="grub-as-its-manual"
        ),
        pytest.param("boot/88-99-aa-bb-cc-dd.ipxe", ScriptName("ipxe", MAC), id="ours"),
        pytest.param("pxelinux.cfg/default", None, id="not-of-one-machine"),
        pytest.param("pxelinux.cfg/C000025B", None, id="by-address"),
        pytest.param("pxelinux.0", None, id="loader"),
        pytest.param("boot/88-99-aa-bb-cc.ipxe", None, id="short-mac"),
    ],
)
def test_name_means_the_script_of_a_machine(name, meant):
    assert parse_script_name(name) == meant


def test_loaders_that_read_files_need_no_loader_any_more():
    assert ScriptName("grub", MAC).stage is Stage.LOADER
    assert ScriptName("ipxe", MAC).stage is Stage.IPXE
