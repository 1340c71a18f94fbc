"""From a request to a page: what a handler is given, and what it answers with."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from keysvc.errors import InvalidInput, KeysvcError
from keysvc.plugin.logs import get_logger
from keysvc.web.asgi.problems import problem_of, title_of
from keysvc_console.gate import Gate, Session
from keysvc_console.reach import Reach, Rights
from keysvc_console.rendering import render
from keysvc_console.shield import SESSION, Refused, require_csrf

log = get_logger("keysvc.console")
MAXIMUM_FIELDS = 1000
MAXIMUM_FILES = 50
BELOW = {"/application": "/applications", "/mapping": "/applications", "/mappings": "/applications", "/bag": "/bags"}
"""The page of the menu for those that are reached from it under another name."""


@dataclass(frozen=True, slots=True)
class Equivalent:
    """The same without the console: a command, and a request to the HTTP interface of an agent or of the master secret
    server. Either may be empty where there is none."""

    what: str
    command: str = ""
    request: str = ""


@dataclass(slots=True)
class Page:
    """What a handler answers with. `values` are for the template."""

    template: str
    title: str
    values: dict[str, Any] = field(default_factory=dict)
    equivalents: abc.Sequence[Equivalent] = ()
    status: int = 200
    hidden_after: tuple[int, str] | None = None
    """After so many seconds, the browser goes on to this path."""


@dataclass(frozen=True, slots=True)
class Go:
    """Go on to another page, by GET."""

    path: str


@dataclass(frozen=True, slots=True)
class Data:
    """JSON, for the console's own script."""

    content: abc.Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Text:
    """A file to keep."""

    name: str
    content: str


Answer = Page | Go | Data | Text


@dataclass(frozen=True, slots=True)
class Call:
    """One request in its session, with the ways to the system."""

    session: Session
    reach: Reach
    gate: Gate
    query: QueryParams
    form: FormData
    wants_data: bool
    """Whether the console's script asks, and not a form or a link."""

    def given(self, name: str) -> str:
        """A value of the form, or of the query; empty when it is absent."""
        value = self.form.get(name, self.query.get(name, ""))
        return value if isinstance(value, str) else ""

    def required(self, name: str, what: str) -> str:
        """As `given`. Raises InvalidInput."""
        value = self.given(name)
        if not value:
            raise InvalidInput(f"{what} is missing", hint="fill it in and send the form again")
        return value

    def number(self, name: str, what: str) -> int | None:
        """None when it is empty. Raises InvalidInput."""
        value = self.given(name).strip()
        if not value:
            return None
        if not value.isdecimal() or len(value) > 9:
            raise InvalidInput(f"{what} must be a whole number", hint="use digits alone")
        return int(value)

    def rights(self, application: str | None = None) -> Rights:
        """As `Reach.rights`."""
        return self.reach.rights(application)


Handler = abc.Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Place:
    """A page of the menu. `shown` says to whom."""

    path: str
    title: str
    group: str
    shown: abc.Callable[[Rights], bool]


class Pages:
    """Makes routes of handlers, and answers of what they return."""

    def __init__(self, reach: Reach, gate: Gate, menu: abc.Sequence[Place], style: abc.Mapping[str, str]) -> None:
        self._reach, self._gate, self._menu, self._style = reach, gate, menu, style

    def route(self, path: str, handler: Handler, *, posts: bool = False) -> Route:
        """A path that takes GET or, with `posts`, POST."""

        async def answer(request: Request) -> Response:
            session: Session = request.scope[SESSION]
            try:
                form = await self._form(request, session) if posts else FormData()
            except Refused as refused:
                return PlainTextResponse(f"{refused.why}\n", refused.status)
            wants_data = "application/json" in request.headers.get("accept", "")
            call = Call(session, self._reach, self._gate, request.query_params, form, wants_data)
            try:
                return await run_in_threadpool(self._answered, handler, call, path)
            finally:
                await form.close()

        return Route(path, answer, methods=["POST"] if posts else ["GET"])

    async def _form(self, request: Request, session: Session) -> FormData:
        form = await request.form(max_files=MAXIMUM_FILES, max_fields=MAXIMUM_FIELDS)
        given = form.get("csrf")
        require_csrf(session, given if isinstance(given, str) else "")
        return form

    def _answered(self, handler: Handler, call: Call, path: str) -> Response:
        try:
            found = handler(call)
        except KeysvcError as error:
            return self._problem(error, call, path)
        except Exception as error:  # noqa: BLE001  what it holds is neither shown nor logged
            log.error("a page of the console failed", page=path, error=type(error).__name__)
            text = "the page failed unexpectedly"
            return self._problem(KeysvcError(text, hint="the log of `keysvc console` names it"), call, path)
        match found:
            case Page():
                return self._page(found, call, path)
            case Go():
                return RedirectResponse(f"{self._gate.prefix}{found.path}", 303)
            case Data():
                return JSONResponse(found.content)
            case Text():
                attachment = {"Content-Disposition": f'attachment; filename="{found.name}"'}
                return PlainTextResponse(found.content, headers=attachment)

    def _problem(self, error: KeysvcError, call: Call, path: str) -> Response:
        problem = problem_of(error)
        if call.wants_data:
            return JSONResponse({"problem": problem.detail, "hint": problem.hint}, problem.status)
        values = {"error": error, "kind": title_of(type(error)), "status": problem.status}
        return self._page(Page("problem.html", "That did not work", values, status=problem.status), call, path)

    def _page(self, page: Page, call: Call, path: str) -> Response:
        rights = call.rights()
        menu = [place for place in self._menu if place.shown(rights)]
        base = self._gate.prefix
        shared: dict[str, Any] = {
            "base": base,
            "menu": menu,
            "here": next((p.path for p in menu if p.path == path), next_best(menu, path)),
            "page": page,
            "rights": rights,
            "reach": self._reach,
            "csrf": call.session.csrf,
            "notes": call.session.take_notes(),
            "style": self._style,
        }
        headers = {}
        if page.hidden_after is not None:
            seconds, to = page.hidden_after
            headers["Refresh"] = f"{seconds}; url={base}{to}"
        return HTMLResponse(render(page.template, {**shared, **page.values}), page.status, headers)


def lines(text: str) -> tuple[str, ...]:
    """The lines of a text field that say something."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def next_best(menu: abc.Sequence[Place], path: str) -> str:
    """Return the page of the menu that a path is below."""
    path = BELOW.get(f"/{path.split('/')[1]}", path)
    above = [place.path for place in menu if place.path != "/" and path.startswith(place.path)]
    return max(above, key=len, default="")
