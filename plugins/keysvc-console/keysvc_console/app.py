"""The console as one ASGI application."""

from __future__ import annotations

import hashlib
from collections import abc
from importlib import resources

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from keysvc.plugin.logs import get_logger
from keysvc_console.calls import Call, Go, Pages, Place
from keysvc_console.gate import COOKIE, LONGEST_SECONDS, Gate
from keysvc_console.pages import (
    applications,
    audit,
    config_store,
    importing,
    mappings,
    mine,
    operations,
    overview,
    servers,
    settings,
    versions,
)
from keysvc_console.reach import Reach
from keysvc_console.rendering import render
from keysvc_console.shield import REPORTS, SESSION, START, STATIC, Shield

log = get_logger("keysvc.console")
KINDS = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
MODULES = (
    overview,
    versions,
    servers,
    settings,
    mine,
    applications,
    mappings,
    config_store,
    importing,
    audit,
    operations,
)
MENU: abc.Sequence[Place] = tuple(place for module in MODULES for place in module.PLACES)
MAXIMUM_REPORTS = 100


def console_app(reach: Reach, gate: Gate) -> Shield:
    """Serve the console of one identity, to one browser."""
    files = {name: _file(name) for name in KINDS}
    style = {name: f"{gate.prefix}{STATIC}{name}?{_digest(content)}" for name, content in files.items()}
    pages = Pages(reach, gate, MENU, style)
    reports: list[str] = []

    async def start(request: Request) -> Response:
        if request.scope[SESSION] is not None:
            return RedirectResponse(f"{gate.prefix}/", 303)
        cookie = gate.open(request.path_params["token"])
        title = "The console is open" if cookie else "This address opens nothing"
        values = {"base": gate.prefix, "style": style, "title": title, "opened": cookie is not None}
        response = HTMLResponse(render("start.html", values), 200 if cookie else 403)
        if cookie:
            response.set_cookie(
                COOKIE, cookie, max_age=int(LONGEST_SECONDS), path=f"{gate.prefix}/", httponly=True, samesite="strict"
            )
        return response

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            return PlainTextResponse("there is no such file\n", 404)
        return Response(files[name], media_type=KINDS[name], headers={"Cache-Control": "private, max-age=86400"})

    async def report(request: Request) -> Response:
        if len(reports) < MAXIMUM_REPORTS:
            reports.append((await request.body()).decode("utf-8", "replace"))
            log.warning("a browser reports that a page breaks the console's policy", report=reports[-1][:2000])
        return Response(status_code=204)

    def sign_out(call: Call) -> Go:
        call.gate.end()
        return Go("/")

    routes = [
        Route(f"{START}{{token}}", start),
        Route(f"{STATIC}{{name}}", static),
        Route(REPORTS, report, methods=["POST"]),
        pages.route("/sign-out", sign_out, posts=True),
        *(pages.route(path, handler, posts=posts) for module in MODULES for path, handler, posts in module.ROUTES),
    ]
    return Shield(Starlette(routes=routes), gate, reports)


def _file(name: str) -> bytes:
    return resources.files("keysvc_console").joinpath("static", name).read_bytes()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
