"""A decision put into the words of the program that will carry it out.

Templates are looked up as ``<dialect>/<decision>.j2``, in the operator's folders first, then in
ours. ``default/<dialect>/<decision>.j2`` always names ours, so that an override can extend it.
A broken override is reported and ours takes its place: a node never sees a template's mistake.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)

from bootd.boot.decide import BootLocal, BootLun, BootMemory, BootSlot, Diagnose
from bootd.boot.dialect import DIALECTS, Dialect, environment
from bootd.boot.places import Chap, check_chap, grub_disk, lun_uris
from bootd.errors import NotFound
from bootd.model import ImageFile
from bootd.resources import share
from bootd.telemetry import Problems
from netboot.arch import Architecture, Firmware
from netboot.errors import LocalError

Scriptable = BootMemory | BootLocal | BootSlot | BootLun | Diagnose
Source = Mapping[str, Template]  # template name -> compiled

_SCREENFUL = 400  # characters of a problem that a machine shows
_NAMES: Mapping[type, str] = {
    BootMemory: "memory",
    BootLocal: "local",
    BootSlot: "slot",
    BootLun: "lun",
    Diagnose: "diagnose",
}
# What a language has no words for: (dialect, decision) -> what the machine needs instead.
_CANNOT: Mapping[tuple[str, str], str] = {
    ("grub", "lun"): "GRUB cannot boot from a LUN: let this machine load iPXE instead",
    ("pxelinux", "lun"): "PXELINUX cannot boot from a LUN: let this machine load iPXE instead",
}
_EFI_DEFAULT = {
    "x86_64": "BOOTX64.EFI",
    "i386": "BOOTIA32.EFI",
    "arm64": "BOOTAA64.EFI",
    "arm32": "BOOTARM.EFI",
}

# What ${netX/chip} says in the loaders of ours that drive the card through the firmware; in a
# ROM it is the real driver (virtio-net, 82540em). On the wire the two look alike.
_LOADER_CHIPS: Mapping[str, Sequence[str]] = {"undionly": ("undionly",), "snponly": ("SNP", "NII", "MNP")}


@dataclass(frozen=True, slots=True)
class ScriptFacts:
    """What a script must know beside the decision."""

    base_url: str  # "http://10.0.0.2:8080": where the client reaches us
    arch: Architecture
    tftp_server: str = ""  # address, where the loaders are not on the host of *base_url*
    attempt: str = ""  # for ?a= of file addresses
    token: str = ""  # for the kernel command line
    loader: str | None = None  # our iPXE for this architecture, as TFTP knows it
    local_helper: str | None = None  # EFI program under /files/ that finds the disk's own loader
    slot_bios: str | None = None  # network boot program under /files/ that starts the slot
    slot_efi: str | None = None  # the same for UEFI
    chap: Chap | None = None  # how the node logs in to its LUN; None: the target wants nothing


@dataclass(frozen=True, slots=True)
class Script:
    """What the client gets."""

    text: str = field(repr=False)  # may carry a token or the secret of a LUN
    answer: str  # what it was told, for people: "memory:rescue", "local", "diagnose: …"


@dataclass(frozen=True, slots=True)
class BrokenTemplate:
    """An override that cannot be used; ours stands in for it."""

    template: str  # "ipxe/memory.j2"
    error: str  # with its file and line where they are known

    def __str__(self) -> str:
        return f"template override {self.template}: {self.error}"


class Renderer:
    """Every template compiled beforehand; `render` only fills them in."""

    def __init__(self, override_dirs: Sequence[Path] = (), *, shipped: Path | None = None) -> None:
        self._override_dirs = tuple(override_dirs)
        self._ours = FileSystemLoader(shipped or share("templates"))
        self._broken: dict[str, BrokenTemplate] = {}
        self._shipped: Source = {}
        self._used: Source = {}
        self.reload()

    def reload(self) -> None:
        """Read all templates anew. A mistake in an override is noted; one in ours is a bug and raises."""
        broken: dict[str, BrokenTemplate] = {}
        shipped: dict[str, Template] = {}
        used: dict[str, Template] = {}
        for dialect in DIALECTS.values():
            own = environment(dialect, ChoiceLoader([self._ours, PrefixLoader({"default": self._ours})]))
            for name in _templates_of(dialect):
                shipped[name] = used[name] = own.get_template(name)
            for name, result in self._compile(dialect):
                if isinstance(result, str):
                    broken[name] = BrokenTemplate(name, result)
                elif name in used:
                    used[name] = result
        self._shipped, self._used, self._broken = shipped, used, broken

    def problems(self) -> list[BrokenTemplate]:
        """Return the overrides that are not in use, or failed when they were."""
        return [self._broken[name] for name in sorted(self._broken)]

    def report(self, problems: Problems) -> None:
        """Let *problems* show the overrides that are not in use, and only those."""
        broken = {f"template:{b.template}": str(b) for b in self.problems()}
        for topic in problems.all():
            if topic.startswith("template:") and topic not in broken:
                problems.cleared(topic)
        for topic, text in broken.items():
            problems.found(topic, text)

    def render(self, decision: Scriptable, dialect: str, facts: ScriptFacts) -> Script:
        """Return the script that carries *decision* out.

        Never fails for what a host, an image or an override says: what cannot be written in
        the client's language becomes a diagnosis on its screen.
        """
        if dialect not in DIALECTS:
            raise NotFound("dialect", dialect, "one of " + ", ".join(DIALECTS))
        name = f"{dialect}/{_NAMES[type(decision)]}.j2"
        try:
            if (dialect, _NAMES[type(decision)]) in _CANNOT:
                raise LocalError(_CANNOT[dialect, _NAMES[type(decision)]])
            return Script(self._text(name, _values(decision, facts), facts.chap), _answer(decision))
        except (LocalError, ValueError) as error:
            diagnosis = Diagnose(decision.host, "cannot-be-written", _masked(str(error), facts.chap), None)
        except TemplateError as error:
            diagnosis = Diagnose(decision.host, "template-broken", _masked(str(error), facts.chap), None)
        text = self._shipped[f"{dialect}/diagnose.j2"].render(_values(diagnosis, facts))
        return Script(text, _answer(diagnosis))

    def _text(self, name: str, values: Mapping[str, object], chap: Chap | None) -> str:
        template = self._used[name]
        if template is self._shipped[name]:
            return template.render(values)
        try:
            return template.render(values)
        except Exception as error:  # noqa: BLE001 - an operator's template may raise anything
            self._broken[name] = BrokenTemplate(name, _masked(_say(error), chap))
        return self._shipped[name].render(values)

    def _compile(self, dialect: Dialect) -> Iterator[tuple[str, Template | str]]:
        """Yield the templates of *dialect* as the overrides make them, or what is wrong with them.

        All of them, where there is any override at all: ours may include a part that is overridden.
        """
        theirs = _overrides(self._override_dirs, dialect.name)
        if not theirs:
            return
        folders: list[BaseLoader] = [FileSystemLoader(folder) for folder in self._override_dirs]
        loader = ChoiceLoader([*folders, self._ours, PrefixLoader({"default": self._ours})])
        env = environment(dialect, loader)
        for name in sorted({*theirs, *_templates_of(dialect)}):
            try:
                yield name, env.get_template(name)
            except (TemplateError, OSError, ValueError, RecursionError) as error:
                yield name, _say(error)


def _templates_of(dialect: Dialect) -> list[str]:
    return [f"{dialect.name}/{each}.j2" for each in _NAMES.values() if (dialect.name, each) not in _CANNOT]


def _overrides(folders: Iterable[Path], dialect: str) -> list[str]:
    names = {
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in folder.glob(f"{dialect}/**/*.j2")
    }
    return sorted(names)


def _masked(text: str, chap: Chap | None) -> str:
    """Return *text*, which will be shown and written down, without the secret of a LUN."""
    return text.replace(chap.secret, "***") if chap is not None and chap.secret else text


def _say(error: BaseException) -> str:
    if isinstance(error, TemplateSyntaxError):
        where = error.filename or error.name or "?"
        return f"{where}:{error.lineno}: {error.message}"
    if isinstance(error, TemplateNotFound):
        return f"needs {error.name}, which is not there"
    line = _template_line(error)
    return f"{line}{error}" if str(error) else f"{line}{type(error).__name__}"


def _template_line(error: BaseException) -> str:
    """Where in a template *error* came up: Jinja2 rewrites the traceback to name its file and line."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.endswith(".j2"):
            where = f"{file}:{trace.tb_lineno}: "
        trace = trace.tb_next
    return where


def _answer(decision: Scriptable) -> str:
    if isinstance(decision, BootMemory):
        return f"memory:{decision.image.name}"
    if isinstance(decision, BootLocal):
        return "local"
    if isinstance(decision, BootSlot | BootLun):
        return str(decision.place)
    return f"diagnose: {decision.problem}"


@dataclass(frozen=True, slots=True)
class FileToLoad:
    """A kernel or initrd as a template sees it."""

    name: str
    url: str
    path: str  # under the server's root: "/files/…?a=…", for loaders that name the server themselves
    size: int  # octets


def _file(file: ImageFile, facts: ScriptFacts) -> FileToLoad:
    path = "/files/" + quote_url(file.path) + (f"?a={facts.attempt}" if facts.attempt else "")
    return FileToLoad(file.name, facts.base_url + path, path, file.size)


def _values(decision: Scriptable, facts: ScriptFacts) -> dict[str, object]:
    """What templates may use; templates/README.md is its documentation."""
    host = decision.host
    chain = not isinstance(decision, Diagnose) and decision.chain
    values: dict[str, object] = {
        "host": host,
        "settings": host.settings,
        "rule": decision.rule,
        "answer": _answer(decision),
        "arch": facts.arch,
        "firmware": facts.arch.firmware.value,
        "base_url": facts.base_url,
        "server": facts.base_url.removeprefix("http://"),
        "script_path": f"/boot/{host.mac.replace(':', '-')}",
        "loader_url": _loader_url(facts) if chain and _chips(facts.loader) else "",
        "loader_chips": _chips(facts.loader),
    }
    if isinstance(decision, BootMemory):
        values |= _memory_values(decision, facts)
    elif isinstance(decision, BootLocal):
        values |= _local_values(decision, facts)
    elif isinstance(decision, BootSlot):
        values |= _slot_values(decision, facts)
    elif isinstance(decision, BootLun):
        values |= _lun_values(decision, facts)
    else:
        values |= {"problem": decision.problem[:_SCREENFUL], "target": str(decision.target or "")}
    return values


def _memory_values(decision: BootMemory, facts: ScriptFacts) -> dict[str, object]:
    image = decision.image
    initrds = [_file(file, facts) for file in image.initrds]
    words = _words_of_boot(decision, facts)
    return {
        "image": image,
        "kernel": _file(image.kernel, facts),
        "initrds": initrds,
        # EFI kernels look their initrd up by this name; others do not mind the words.
        "initrd_words": " ".join(f"initrd={file.name}" for file in initrds),
        "cmdline": " ".join(part for part in (image.cmdline, words) if part),
    }


def _words_of_boot(decision: BootMemory, facts: ScriptFacts) -> str:
    """Tell the booted system who it is, and where and by which token it may report."""
    if not facts.token:
        return ""
    host = decision.host
    names = f"bootd.node={host.name} bootd.mac={host.mac} bootd.image={decision.image.name}"
    return f"{names} bootd.report={facts.base_url}/node/v1/report bootd.token={facts.token}"


def _slot_values(decision: BootSlot, facts: ScriptFacts) -> dict[str, object]:
    return _own_disk_values(facts) | {
        "slot": decision.slot,
        "device": decision.place.device,
        "disk": grub_disk(decision.place.device),
        "bios_url": _under_files(facts, facts.slot_bios),
        "efi_url": _under_files(facts, facts.slot_efi),
    }


def _lun_values(decision: BootLun, facts: ScriptFacts) -> dict[str, object]:
    chap = check_chap(facts.chap) if facts.chap is not None else None
    return {
        "initiator": decision.clone.initiator,
        "target": decision.clone.target,
        "username": chap.user if chap else "",
        "password": chap.secret if chap else "",
        "luns": lun_uris(decision.clone),
    }


def _local_values(decision: BootLocal, facts: ScriptFacts) -> dict[str, object]:
    went = f"{facts.base_url}/boot/went/{facts.attempt}" if facts.attempt else ""
    return _own_disk_values(facts) | {"device": decision.device or "", "went_url": went}


def _own_disk_values(facts: ScriptFacts) -> dict[str, object]:
    cpu = facts.arch.cpu if facts.arch.firmware is Firmware.UEFI else "x86_64"
    return {
        "efi_file": _EFI_DEFAULT.get(cpu, "BOOTX64.EFI"),
        "helper_url": _under_files(facts, facts.local_helper),
    }


def _under_files(facts: ScriptFacts, name: str | None) -> str:
    return f"{facts.base_url}/files/{quote_url(name)}" if name else ""


def _loader_url(facts: ScriptFacts) -> str:
    """By TFTP, as firmware would have loaded it: the loaders may lie on another server."""
    host = facts.tftp_server or urlsplit(facts.base_url).hostname
    return f"tftp://{host}/{quote_url(facts.loader or '')}"


def _chips(loader: str | None) -> Sequence[str]:
    """Return how a script can tell that it runs in *loader*; () where it cannot, and must not chain it."""
    stem = posixpath.basename(loader or "").split(".")[0].split("-")[0]
    return _LOADER_CHIPS.get(stem, ())
