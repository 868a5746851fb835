import pytest

from netboot.arch import ARCHITECTURES, BY_NAME, Architecture, Firmware, architecture

# The codes whose clients fetch a URL, as the IANA registry lists them.
HTTP = {0x0F, 0x10, 0x11, 0x12, 0x13, 0x14, 0x17, 0x18, 0x1A, 0x1C, 0x1E, 0x26, 0x28}


def test_every_registered_code_has_a_row():
    assert list(ARCHITECTURES) == list(range(0x2A))
    assert len(BY_NAME) == len(ARCHITECTURES)


def test_http_architectures_are_those_of_the_registry():
    assert {code for code, row in ARCHITECTURES.items() if row.http} == HTTP
    assert {row.code for name, row in BY_NAME.items() if name.endswith("-http")} == HTTP


@pytest.mark.parametrize(
    ("code", "firmware", "cpu"),
    [
        pytest.param(0x00, Firmware.BIOS, "i386", id="bios"),
        pytest.param(0x06, Firmware.UEFI, "i386", id="ia32"),
        pytest.param(0x07, Firmware.UEFI, "x86_64", id="x64"),
        pytest.param(0x09, Firmware.UEFI, "x86_64", id="ebc-is-x64-erratum-4624"),
        pytest.param(0x0B, Firmware.UEFI, "arm64", id="arm64"),
        pytest.param(0x10, Firmware.UEFI, "x86_64", id="x64-http"),
        pytest.param(0x16, Firmware.UBOOT, "arm64", id="u-boot"),
        pytest.param(0x27, Firmware.UEFI, "loong64", id="loongarch"),
    ],
)
def test_architecture_says_what_the_client_can_start(code, firmware, cpu):
    row = architecture(code)
    assert (row.firmware, row.cpu, row.known) == (firmware, cpu, True)


def test_an_unregistered_code_keeps_its_number():
    row = architecture(0x1234)
    assert row == Architecture(0x1234, "unknown-0x1234", Firmware.OTHER, "")
    assert not row.known
