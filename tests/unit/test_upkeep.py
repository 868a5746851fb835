"""Upkeep: what lies on the disk decides what is offered, and what is wrong with it is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd.boot.decide import BootLocal
from bootd.boot.render import Renderer, ScriptFacts
from bootd.boot.snapshot import Snapshot
from bootd.config import Config, parse
from bootd.model import ImageFile, MemoryImage
from bootd.services.filescan import FileIndex
from bootd.telemetry import Problems
from bootd.upkeep import Upkeep, loaders_on_disk, policy_of, roots
from netboot.arch import BY_NAME
from tests.helpers.site import a_host, an_image


class Site:
    """A data folder, a package's folder, and upkeep over them."""

    def __init__(self, folder: Path, extra: str = "", loaders: tuple[str, ...] = ()) -> None:
        self.data, self.package = folder / "data", folder / "ipxe"
        for name in ("boot", "files", "templates"):
            (self.data / name).mkdir(parents=True)
        self.install(*loaders)
        self.config = self.configured(extra)
        self.problems = Problems(lambda event: None)
        self.renderer = Renderer([self.data / "templates"])
        self.index = FileIndex(roots(self.config))
        self.upkeep = Upkeep(self.config, self.index, self.renderer, self.problems)

    def configured(self, extra: str) -> Config:
        text = f'server.data_dir = "{self.data}"\ntftp.loader_dirs = ["{self.package}"]\n{extra}'
        return parse(text, None)

    def install(self, *loaders: str) -> None:
        """Put files into the package's folder, which is made with the first."""
        for name in loaders:
            self.package.mkdir(exist_ok=True)
            (self.package / name).write_bytes(b"loader")

    async def refresh(self, *images: MemoryImage) -> dict[str, str]:
        snapshot = Snapshot(memory_images={image.name: image for image in images})
        await self.upkeep.refresh(lambda: snapshot)
        return self.problems.all()


USUAL = ("undionly.kpxe", "snponly.efi")


def an_image_on(data: Path, octets: bytes = b"kernel") -> MemoryImage:
    path = "memory/debian/0123456789abcdef/vmlinuz"
    (data / "files" / path).parent.mkdir(parents=True)
    (data / "files" / path).write_bytes(octets)
    return replace(an_image(), kernel=ImageFile("vmlinuz", path, "0" * 64, len(octets)), initrds=())


# -- loaders --------------------------------------------------------------------------------


def test_only_loaders_that_are_there_are_offered(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    offered = site.upkeep.policy.loaders
    assert set(offered.values()) == set(USUAL)
    assert offered["x86-bios"] == "undionly.kpxe"
    assert "arm64-uefi" not in offered
    assert site.problems.all() == {}


def test_explanations_count_on_the_loaders_a_daemon_would_find(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    (site.data / "boot" / "snponly-arm64.efi").write_bytes(b"own")
    site = replace_index(site)
    assert loaders_on_disk(site.config) == site.upkeep.policy.loaders
    assert "arm64-uefi" in site.upkeep.policy.loaders


def replace_index(site: Site) -> Site:
    """Look at the disk anew, as a restart would."""
    site.upkeep = Upkeep(site.config, FileIndex(roots(site.config)), site.renderer, site.problems)
    return site


def test_loaders_nearly_everybody_needs_are_missed_at_once(tmp_path: Path) -> None:
    said = Site(tmp_path).problems.all()
    assert set(said) == {"loader:x86-bios", "loader:x64-uefi"}
    assert said["loader:x86-bios"] == (
        f"no undionly.kpxe for x86-bios machines in {tmp_path}/data/boot, {tmp_path}/ipxe:"
        " install Debian's package ipxe"
    )


async def test_package_installed_later_is_found_without_a_restart(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert await site.refresh() != {}
    site.install(*USUAL)
    assert await site.refresh() == {}
    assert site.upkeep.policy.loaders["x64-uefi"] == "snponly.efi"


async def test_loader_that_goes_is_not_offered_any_more(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    (site.package / "undionly.kpxe").unlink()
    assert set(await site.refresh()) == {"loader:x86-bios"}
    assert "x86-bios" not in site.upkeep.policy.loaders


def test_loader_named_in_the_configuration_is_missed_whatever_it_is_for(tmp_path: Path) -> None:
    site = Site(tmp_path, 'loaders.riscv64-uefi = "mine.efi"\n', loaders=USUAL)
    [(topic, text)] = site.problems.all().items()
    assert topic == "loader:riscv64-uefi"
    assert text.endswith(": put the file there")


def test_loaders_of_another_tftp_server_need_not_be_here(tmp_path: Path) -> None:
    site = Site(tmp_path, 'tftp.server = "10.0.0.3"\n')
    assert site.problems.all() == {}
    offered = site.upkeep.policy.loaders
    assert offered["x86-bios"] == "undionly.kpxe"
    assert "x64-uefi-http" not in offered, "HTTP Boot fetches it from us"
    assert loaders_on_disk(site.config) == offered


def test_own_file_goes_before_the_package(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    (site.data / "boot" / "snponly.efi").write_bytes(b"longer than the package's")
    entry = FileIndex(roots(site.config)).lookup("snponly.efi")
    assert str(getattr(entry, "path", "")) == str(site.data / "boot" / "snponly.efi")


def test_strategy_of_the_configuration_is_the_policy(tmp_path: Path) -> None:
    assert Site(tmp_path, 'dhcp.uefi = "offer"\n').upkeep.policy.uefi_strategy == "offer"


async def test_folder_of_ones_own_that_is_not_there_is_said(tmp_path: Path) -> None:
    site = Site(tmp_path, f'tftp.root = "{tmp_path}/nowhere"\n', loaders=USUAL)
    assert await site.refresh() == {"files": f"the folder {tmp_path}/nowhere does not exist"}
    (tmp_path / "nowhere").mkdir()
    assert await site.refresh() == {}


# -- memory images --------------------------------------------------------------------------


async def test_image_whose_files_are_there_is_no_problem(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    assert await site.refresh(an_image_on(site.data)) == {}


async def test_image_that_lacks_a_file_is_said_until_it_is_whole_or_gone(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    image = an_image_on(site.data)
    path = site.data / "files" / image.kernel.path
    path.unlink()
    assert await site.refresh(image) == {
        "memory:debian": f"memory image debian: {image.kernel.path} is not there any more; add it again"
    }
    path.write_bytes(b"kernel")
    assert await site.refresh(image) == {}
    path.unlink()
    assert "memory:debian" in await site.refresh(image)
    assert await site.refresh() == {}


async def test_image_whose_file_was_cut_short_is_said_with_both_sizes(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    image = an_image_on(site.data)
    (site.data / "files" / image.kernel.path).write_bytes(b"ker")
    assert "has 3 octets, it was added with 6" in (await site.refresh(image))["memory:debian"]


# -- templates ------------------------------------------------------------------------------


async def test_broken_template_is_said_and_cleared_when_it_is_mended(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    override = site.data / "templates" / "ipxe" / "memory.j2"
    override.parent.mkdir()
    override.write_text("{% if %}\n")
    [text] = (await site.refresh()).values()
    assert "memory.j2" in text
    override.unlink()
    assert await site.refresh() == {}


async def test_link_to_no_template_stops_neither_start_nor_upkeep(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    (site.data / "templates" / "gone.j2").symlink_to(tmp_path / "nowhere")
    assert await replace_index(site).refresh() == {}


async def test_override_that_fails_at_a_question_is_said(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    override = site.data / "templates" / "ipxe" / "local.j2"
    override.parent.mkdir()
    override.write_text("#!ipxe\necho {{ nothing.of_the_kind | word }}\n")
    assert await site.refresh() == {}
    facts = ScriptFacts("http://10.0.0.2:8080", BY_NAME["x86-bios"])
    script = site.renderer.render(BootLocal(a_host(), "assigned", None, None, chain=False), "ipxe", facts)
    assert script.answer == "local"
    [text] = (await site.refresh()).values()
    assert "local.j2:2" in text


async def test_file_that_a_machine_missed_is_forgotten_once_nobody_offers_it(tmp_path: Path) -> None:
    site = Site(tmp_path, loaders=USUAL)
    site.problems.found("file:old.img", "/files/old.img: No such file or directory")
    assert await site.refresh() == {}


@pytest.mark.parametrize(
    ("text", "strategy", "subnets"),
    [
        ("", "boot-server", []),
        ('mode = "authoritative"', "offer", ["lab"]),
        ('mode = "authoritative"\nuefi = "boot-server"', "boot-server", ["lab"]),
        ('uefi = "offer"', "offer", []),
    ],
)
def test_where_addresses_are_ours_uefi_needs_no_second_question_unless_somebody_wants_it(
    text: str, strategy: str, subnets: list[str]
) -> None:
    lab = '[dhcp.subnets.lab]\nnetwork = "10.99.0.0/24"\n'
    policy = policy_of(parse(f"[dhcp]\n{text}\n{lab}", None), {"x86-bios": "undionly.kpxe"})
    assert (policy.uefi_strategy, list(policy.subnets)) == (strategy, subnets)
    assert policy.loaders == {"x86-bios": "undionly.kpxe"}
