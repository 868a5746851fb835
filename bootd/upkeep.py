"""What changes without a commit: loaders, files of memory images, templates."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from bootd.boot.files import Refused, Served
from bootd.boot.render import Renderer
from bootd.boot.snapshot import Policy, Snapshot
from bootd.config import DEFAULT_LOADERS, Config
from bootd.services.filescan import FileIndex, Root
from bootd.telemetry import Problems
from netboot.arch import BY_NAME

_COUNTED_ON = ("x86-bios", "x64-uefi")  # nearly every site has them: their loaders are missed at once


def roots(config: Config) -> list[Root]:
    """The operator's own files first, then what bootd keeps, then the packages' loaders."""
    return [
        Root(config.tftp_root),
        Root(config.data_dir / "files"),
        *(Root(Path(folder), optional=True) for folder in config["tftp.loader_dirs"]),
    ]


def loaders_on_disk(config: Config) -> dict[str, str]:
    """Return the loaders a daemon would offer, by architecture, with a look at each instead of a walk."""
    folders = [root.path for root in roots(config)]
    return {
        architecture: name
        for architecture, name in config.loaders.items()
        if _is_elsewhere(config, architecture) or any(os.access(folder / name, os.R_OK) for folder in folders)
    }


def policy_of(config: Config, loaders: Mapping[str, str]) -> Policy:
    """Return how machines are answered.

    Where their addresses come from us too, UEFI needs no second question unless somebody wants it.
    """
    gives_addresses = config["dhcp.mode"] == "authoritative"
    is_free = gives_addresses and config.values["dhcp.uefi"].source == "default"
    return Policy(
        loaders=loaders,
        uefi_strategy="offer" if is_free else config["dhcp.uefi"],
        subnets=config.subnets if gives_addresses else {},
    )


def _is_elsewhere(config: Config, architecture: str) -> bool:
    """Tell whether another machine serves this loader; HTTP Boot fetches it from us all the same."""
    return bool(config["tftp.server"]) and not BY_NAME[architecture].http


class Upkeep:
    """Looks at the disk now and then, and lets ``/readyz`` say what is wrong with it."""

    def __init__(self, config: Config, files: FileIndex, renderer: Renderer, problems: Problems) -> None:
        self._config = config
        self._files = files
        self._renderer = renderer
        self._problems = problems
        self._templates = self._template_times()
        self.policy = Policy()
        self.check_loaders()

    async def refresh(self, snapshot: Callable[[], Snapshot]) -> None:
        """Look at everything again; *snapshot* says which images there should be when the walk is done."""
        await self._files.refresh()
        self._say("files", "; ".join(self._files.problems))
        self.check_loaders()
        self.check_images(snapshot())
        times = self._template_times()
        if times != self._templates:
            self._templates = times
            self._renderer.reload()
        self._renderer.report(self._problems)  # one may have failed at a machine's question
        self._forget_files()

    def check_loaders(self) -> None:
        """Offer only loaders that are there; say so where one is missing that somebody counts on."""
        found = {}
        for architecture, name in self._config.loaders.items():
            topic = f"loader:{architecture}"
            if _is_elsewhere(self._config, architecture) or isinstance(self._files.lookup(name), Served):
                found[architecture] = name
                self._problems.cleared(topic)
            elif self._is_counted_on(architecture):
                self._problems.found(topic, self._missing_loader(architecture, name))
        self.policy = policy_of(self._config, found)

    def check_images(self, snapshot: Snapshot) -> None:
        """Say which memory image lacks a file; its nodes would stop half way."""
        wrong: dict[str, str] = {}
        for image in snapshot.memory_images.values():
            for file in image.files:
                entry = self._files.lookup(file.path)
                if not isinstance(entry, Served):
                    wrong[image.name] = f"{file.path} is not there any more"
                elif entry.size != file.size:
                    wrong[image.name] = f"{file.path} has {entry.size} octets, it was added with {file.size}"
        for topic in self._problems.all():
            if topic.startswith("memory:") and topic.removeprefix("memory:") not in wrong:
                self._problems.cleared(topic)
        for name, text in wrong.items():
            self._problems.found(f"memory:{name}", f"memory image {name}: {text}; add it again")

    def _forget_files(self) -> None:
        """A file that a machine could not have is no problem any more once it is gone, or whole again."""
        for topic in self._problems.all():
            prefix, _, name = topic.partition(":")
            if prefix == "file" and not isinstance(self._files.lookup(name), Refused):
                self._problems.cleared(topic)

    def _is_counted_on(self, architecture: str) -> bool:
        return (
            architecture in _COUNTED_ON or self._config.values[f"loaders.{architecture}"].source != "default"
        )

    def _missing_loader(self, architecture: str, name: str) -> str:
        where = ", ".join([str(self._config.tftp_root), *self._config["tftp.loader_dirs"]])
        is_packaged = name == DEFAULT_LOADERS.get(architecture)
        hint = "install Debian's package ipxe" if is_packaged else "put the file there"
        return f"no {name} for {architecture} machines in {where}: {hint}"

    def _template_times(self) -> dict[str, int]:
        folder = self._config.data_dir / "templates"
        return {str(path): _time_of(path) for path in folder.glob("**/*.j2")}

    def _say(self, topic: str, text: str) -> None:
        if text:
            self._problems.found(topic, text)
        else:
            self._problems.cleared(topic)


def _time_of(path: Path) -> int:
    """Return when *path* was changed, in ns; 0 for a file just gone or a link to nothing."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
