"""Boot scripts: a question over HTTP becomes a `BootRequest`, its decision a script."""

from collections.abc import Mapping

from aiohttp import web

from bootd.boot.decide import BootDecision, Silent
from bootd.boot.offer import http_base
from bootd.events import LocalBootStarted, ScriptRefused
from bootd.http.parts import PARTS, Parts, peer_of, read_form
from netboot.arch import ARCHITECTURES, BY_NAME, Architecture
from netboot.errors import LocalError
from netboot.hwaddr import parse_guid, parse_mac
from netboot.request import BootRequest, Stage

_STAGES: Mapping[str, Stage] = {
    "ipxe": Stage.IPXE,
    "gpxe": Stage.GPXE,
    "grub": Stage.LOADER,
    "pxelinux": Stage.LOADER,
}
# What ${buildarch} says, and where ${platform} is not told with it: 64 bit means UEFI, as
# pcbios builds are i386.
_BUILDS = {
    "i386": "x86-bios",
    "x86_64": "x64-uefi",
    "arm32": "arm32-uefi",
    "arm64": "arm64-uefi",
    "riscv32": "riscv32-uefi",
    "riscv64": "riscv64-uefi",
    "loong64": "loongarch64-uefi",
}
_ON_PLATFORM = {("i386", "efi"): "x86-uefi", ("x86_64", "pcbios"): "x86-bios"}
_WHY = {
    "unknown-machine": "this machine is not in the host table",
    "host-ignored": "this machine is left to other servers",
    "nothing-assigned": "this machine has been given nothing to boot",
}
_NOT_NOW = {"Cache-Control": "no-store"}


async def script_of_mac(request: web.Request) -> web.Response:
    """GET, HEAD and POST /boot/{mac}.{dialect}: the MAC address in any spelling."""
    mac = _mac(request.match_info["mac"])
    fields = await _fields(request)
    return _script(request, mac, None, request.match_info["dialect"], fields)


async def script_by_facts(request: web.Request) -> web.Response:
    """GET, HEAD and POST /boot/ipxe?mac=…&uuid=…&arch=…: by what iPXE knows of itself."""
    fields = await _fields(request)
    guid = _guid(fields.get("uuid", ""))
    mac = _mac(fields["mac"]) if fields.get("mac") else ""
    if not mac and guid is None:
        raise web.HTTPBadRequest(text="who asks? give mac=${mac} or uuid=${uuid}\n")
    return _script(request, mac, guid, "ipxe", fields)


async def went(request: web.Request) -> web.Response:
    """GET /boot/went/{attempt}: the script's last word before it starts the machine's own disk."""
    parts = request.app[PARTS]
    attempt = parts.attempts.check(request.match_info["attempt"])
    if attempt is None:
        raise web.HTTPNotFound(text="no such boot\n")
    if request.method != "HEAD":
        host, client = parts.host_name(attempt.mac), peer_of(request)
        parts.emit(LocalBootStarted(mac=attempt.mac, host=host, client=client, override=attempt.override))
    return web.Response(text="noted\n", headers=_NOT_NOW)


async def _fields(request: web.Request) -> dict[str, str]:
    """Return query and form (iPXE ``params``) as one; the query wins."""
    fields = await read_form(request) if request.method == "POST" else {}
    return fields | dict(request.query)


def _script(
    request: web.Request, mac: str, guid: str | None, dialect: str, fields: Mapping[str, str]
) -> web.Response:
    parts = request.app[PARTS]
    question = BootRequest(
        mac=mac,
        arch=_architecture(parts, mac, fields),
        stage=_STAGES[dialect],
        received_at=parts.clock(),
        http=True,
        guid=guid,
    )
    url = base_url(request, parts.address)
    answered = parts.desk.script(
        question, dialect, url, client=peer_of(request), waited=fields.get("retry") == "1"
    )
    if answered.script is None:
        raise _refusal(request, parts, mac, answered.decision)
    body = answered.script.text.encode()
    if request.method != "HEAD":
        parts.emit(answered.event(client=peer_of(request), dialect=dialect, octets=len(body)))
    return web.Response(body=body, content_type="text/plain", charset="utf-8", headers=_NOT_NOW)


def _refusal(request: web.Request, parts: Parts, mac: str, decision: BootDecision) -> web.HTTPException:
    """Not an empty script: iPXE would call that an executable it cannot run."""
    host = decision.host.name if decision.host is not None else ""
    why = decision.rule if isinstance(decision, Silent) else "needs-a-loader"
    if request.method != "HEAD":
        parts.emit(ScriptRefused(mac=mac, host=host, client=peer_of(request), why=why))
    return web.HTTPNotFound(text=f"{why}: {_WHY.get(why, 'no script for this machine')}\n", headers=_NOT_NOW)


def base_url(request: web.BaseRequest, address: str = "") -> str:
    """Return the URL by which this client reaches us: the address its packets came to."""
    transport = request.transport
    name = transport.get_extra_info("sockname") if transport is not None else None
    if not isinstance(name, tuple):
        raise ConnectionResetError("the client is gone")
    local = address or str(name[0]).removeprefix("::ffff:")
    return http_base(f"[{local}]" if ":" in local else local, int(name[1]))


def _architecture(parts: Parts, mac: str, fields: Mapping[str, str]) -> Architecture:
    """What the client says, else what DHCP heard of it."""
    told = _told_architecture(fields.get("arch", "").strip().lower(), fields.get("platform", ""))
    return told or parts.desk.architecture_of(mac)


def _told_architecture(text: str, platform: str) -> Architecture | None:
    """Read an option 93 code (7, 0x07), a name of ours (x64-uefi) or iPXE's ${buildarch}."""
    name = _ON_PLATFORM.get((text, platform)) or _BUILDS.get(text) or text
    if name in BY_NAME:
        return BY_NAME[name]
    try:
        return ARCHITECTURES.get(int(text, 0))
    except ValueError:
        return None


def _mac(text: str) -> str:
    try:
        return parse_mac(text)
    except LocalError:
        raise web.HTTPBadRequest(text="that is not a MAC address\n") from None


def _guid(text: str) -> str | None:
    """Return a UUID; a bad one is as good as none, since firmware makes them up."""
    try:
        return parse_guid(text)
    except LocalError:
        return None
