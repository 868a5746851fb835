"""Debian packages, fetched by apt and unpacked into a cache; nothing is installed."""

import fcntl
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bootd.imagebuild.errors import BuildFailed

Run = Callable[[Sequence[str], Path], str]  # argv, working folder -> standard output

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")
_POLICY = re.compile(r"^(\S+):\n(?: .*\n)*?  Candidate: (\S+)", re.MULTILINE)
_READY = ".unpacked"


def run_tool(argv: Sequence[str], cwd: Path) -> str:
    """Run a tool; raises `BuildFailed` where it is missing or fails, with what it said."""
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"the program {argv[0]!r} is missing", "images are built on Debian (apt, dpkg)"
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BuildFailed(
            f"{' '.join(argv)} failed: {said[-1] if said else done.returncode}",
            "if apt does not know the package: apt-get update",
        )
    return done.stdout


class Packages:
    """A cache of unpacked packages in *folder*, one sub-folder a package and version."""

    def __init__(self, folder: Path, progress: Callable[[str], None], run: Run = run_tool) -> None:
        self._folder = folder
        self._progress = progress
        self._run = run
        self._candidates: dict[str, str] = {}  # what apt said, for as long as one image takes to build
        folder.mkdir(parents=True, exist_ok=True)

    def ask_for(self, packages: Iterable[str]) -> None:
        """Ask apt for the versions of *packages* in one go: each question costs it most of a second.

        Where it has no answer, `unpacked` says so of each.
        """
        names = sorted(name for name in set(packages) if _NAME.match(name))
        with suppress(BuildFailed):
            text = self._run(["apt-cache", "policy", *names], self._folder)
            for name, version in _POLICY.findall(text):
                self._candidates[name] = version

    def unpacked(self, package: str) -> Path:
        """Return the folder with the contents of *package* in the version apt would install.

        Where apt has no answer (no lists, no network), the newest version in the cache serves.
        """
        if not _NAME.match(package):
            raise BuildFailed(f"{package!r} is not a package name", "mend recipe.toml")
        try:
            version = self._candidate(package)
        except BuildFailed:
            cached = sorted(self._folder.glob(f"{package}_*/{_READY}"), key=lambda p: p.stat().st_mtime)
            if not cached:
                raise
            self._progress(f"apt does not know {package} now: using {cached[-1].parent.name} from the cache")
            return cached[-1].parent
        target = self._folder / f"{package}_{version.replace(':', '%3a')}"
        if not (target / _READY).exists():
            with self._alone():
                if not (target / _READY).exists():  # else another process did while we waited
                    self._fetch(package, version, target)
        return target

    def behind(self, metapackage: str, pattern: str) -> str:
        """Return the real package that *metapackage* depends on and whose name matches *pattern*."""
        if re.fullmatch(pattern, metapackage):
            return metapackage
        remembered = self._folder / f"{metapackage}.is"
        try:
            text = self._run(["apt-cache", "depends", metapackage], self._folder)
        except BuildFailed:
            if not remembered.exists():
                raise
            return remembered.read_text().strip()
        for name in re.findall(r"Depends: (\S+)", text):
            if re.fullmatch(pattern, name):
                remembered.write_text(name + "\n")
                return str(name)
        raise BuildFailed(
            f"{metapackage} depends on no kernel package", "apt-get update, or mend recipe.toml"
        )

    def _candidate(self, package: str) -> str:
        if package not in self._candidates:
            text = self._run(["apt-cache", "policy", package], self._folder)
            found = _POLICY.search(text)
            self._candidates[package] = found[2] if found is not None else "(none)"
        if self._candidates[package] == "(none)":
            raise BuildFailed(f"apt knows no package {package}", "apt-get update, then try again")
        return self._candidates[package]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time put packages here: two would take each other's folders away."""
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _fetch(self, package: str, version: str, target: Path) -> None:
        """Download and unpack beside *target*, then rename: a half-done folder is never seen."""
        self._progress(f"fetching {package} {version}")
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".fetch-") as scratch_name:
            scratch = Path(scratch_name)
            # the sandbox user _apt cannot write here; without the option apt warns and does the same
            self._run(
                ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", f"{package}={version}"],
                scratch,
            )
            archives = list(scratch.glob("*.deb"))
            if len(archives) != 1:
                raise BuildFailed(f"apt-get download {package} left no package", "try it by hand")
            tree = scratch / "tree"
            tree.mkdir()
            self._run(["dpkg-deb", "-x", str(archives[0]), str(tree)], scratch)
            (tree / _READY).touch()
            if target.exists():
                shutil.rmtree(target)
            tree.rename(target)
