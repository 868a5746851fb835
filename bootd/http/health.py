"""Whether bootd is alive, and whether all is well."""

from aiohttp import web

from bootd.http.parts import PARTS

_NOW = {"Cache-Control": "no-store"}


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz: the process answers."""
    return web.Response(text="ok\n", headers=_NOW)


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: 200, or 503 with what is wrong; bootd works on as far as it can."""
    parts = request.app[PARTS]
    parts.desk.renderer.report(parts.problems)  # templates may have been read anew
    problems = parts.problems.all()
    body = {"ready": not problems, "problems": problems}
    return web.json_response(body, status=503 if problems else 200, headers=_NOW)
