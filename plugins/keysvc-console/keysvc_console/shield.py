"""What every request has to pass before a page sees it, and what every answer carries."""

from __future__ import annotations

import hmac
from collections import abc
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keysvc.plugin.logs import get_logger
from keysvc_console.gate import COOKIE, Gate, Session

log = get_logger("keysvc.console")
MAXIMUM_BODY_BYTES = 4 * 1024 * 1024
MAXIMUM_REPORT_BYTES = 16 * 1024
SAFE = frozenset({"GET", "HEAD"})
SESSION = "keysvc_console.session"
"""Where a request's scope has its `Session`, or None."""
START = "/start/"
REPORTS = "/reports"
STATIC = "/static/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'; report-uri "
)
FIXED: abc.Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would not say the Origin of a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), clipboard-write=(self)",
}


class Refused(Exception):
    """A request that no page sees."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Shield:
    """Lets through what comes from the console's own pages, in its session. `reports` are those of browsers about pages
    that break the policy."""

    def __init__(self, app: ASGIApp, gate: Gate, reports: abc.Sequence[str]) -> None:
        self._app, self._gate, self.reports = app, gate, reports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        headers = Headers(scope=scope)
        policy = f"{POLICY}{quote(self._gate.prefix)}{REPORTS}"

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered["Content-Security-Policy"] = policy
                for name, value in FIXED.items():
                    answered[name] = value
                if "cache-control" not in answered:
                    answered["Cache-Control"] = "no-store"
            await send(message)

        try:
            inside = self._checked(scope, headers)
        except Refused as refused:
            log.info("the console refused a request", problem=refused.why)
            await PlainTextResponse(f"{refused.why}\n", refused.status)(scope, receive, sent)
            return
        await self._app(inside, receive, sent)

    def _checked(self, scope: Scope, headers: Headers) -> dict[str, Any]:
        """Return the scope without the prefix and with its session. Raises Refused."""
        if headers.get("host") != self._gate.host:  # a name of somebody else's that leads here: DNS rebinding
            raise Refused(421, "this address is not the console's")
        prefix, _, path = scope["path"].partition("/")[2].partition("/")
        if not hmac.compare_digest(f"/{prefix}".encode(), self._gate.prefix.encode()):
            raise Refused(404, "there is nothing here; `keysvc console` prints the address of the console")
        path = f"/{path}"
        session = self._gate.session(_cookie(headers))
        if scope["method"] not in SAFE:
            self._require_own_page(headers, path)
        if session is None and not path.startswith((START, STATIC)) and path != REPORTS:
            raise Refused(401, "the session has ended; `keysvc console` has printed an address that begins another")
        return {**scope, "path": path, "raw_path": path.encode(), "root_path": "", SESSION: session}

    def _require_own_page(self, headers: Headers, path: str) -> None:
        """A form of another site is sent with that site's origin. Raises Refused."""
        try:
            size = int(headers.get("content-length", ""))
        except ValueError:
            raise Refused(411, "the length of the body is missing") from None
        if size > (MAXIMUM_REPORT_BYTES if path == REPORTS else MAXIMUM_BODY_BYTES):
            raise Refused(413, f"the body is larger than {MAXIMUM_BODY_BYTES} bytes")
        if path == REPORTS:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        if origin != self._gate.origin or site != "same-origin":
            raise Refused(403, "this request does not come from a page of the console")


def require_csrf(session: Session, given: str) -> None:
    """Raises Refused unless a form was made for this session."""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), session.csrf.encode()):
        raise Refused(403, "this form is not of this session: open the page again")


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value
