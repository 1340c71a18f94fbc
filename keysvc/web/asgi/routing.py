"""One table of operations is what is served and what /openapi.json says: each names its parameters, its content and its
answer as types, and requests are checked against just these."""

from __future__ import annotations

import inspect
from collections import abc
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from keysvc.crypto.unreadable import UNREADABLE
from keysvc.errors import AccessDenied, InvalidInput, KeysvcError, NotFound, Revoked
from keysvc.model import Role
from keysvc.sso.permissions import Right
from keysvc.web.asgi import openapi
from keysvc.web.asgi.exchange import (
    ASGI,
    CONNECTED,
    NOBODY,
    Caller,
    Connected,
    Headers,
    Receive,
    Response,
    Scope,
    Send,
    answer,
    failure,
    in_strangers_thread,
    in_thread,
    problem,
    read_body,
    refusal,
    whole,
)
from keysvc.web.asgi.problems import Problem
from keysvc.web.asgi.secret_texts import hide_secret

DESCRIPTION = "/openapi.json"
PATH = "keysvc.path"
"""Where a request's scope has the path of its operation, which names the parameters in it and does not hold them."""

Parameters = TypeVar("Parameters", bound=msgspec.Struct)
Content = TypeVar("Content", bound=msgspec.Struct)


class NoParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None are taken."""


class NoContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request has no body."""


PRINCIPALS = (Role.ADMINISTRATOR, Role.APPLICATION, Role.SERVER, Role.USER)
"""Whose certificates an agent lets in. What they may do there is a matter of the table of roles."""
NO_CONTENT = NoContent()
SAFE = frozenset({"GET", "HEAD"})
NONE_IN_PATH: abc.Mapping[str, str] = MappingProxyType({})


class Call(msgspec.Struct, Generic[Parameters, Content], frozen=True):
    """A request that was let in and checked."""

    caller: Caller
    parameters: Parameters
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Parameters, Content]):
    """One method of one path.

    A field of `parameters` is in the path when the path names it, a header when its name has a capital letter, else in
    the query. `handler` answers with a value of the type `answer`, with None for 204, or with a whole response; one
    that is no coroutine runs in a thread. The event loop asks `cached` before: it does no I/O, and answers or returns
    None. `etag` says what the answer's ETag is. `roles` may call it; anyone may when there are none; an agent's also
    needs the `rights`, or those of them that the request says. `errors` are those that it raises besides
    `openapi.ANYWHERE`. `example` is one of its content.
    """

    method: str
    path: str
    summary: str
    handler: abc.Callable[[Call[Parameters, Content]], Any]
    cached: abc.Callable[[Call[Parameters, Content]], Response | None] | None = None
    parameters: type[Parameters] = NoParameters  # type: ignore[assignment]
    content: type[Content] = NoContent  # type: ignore[assignment]
    answer: Any = None
    status: int = 200
    etag: str = ""
    other_answers: abc.Mapping[int, str] | None = None
    roles: abc.Collection[Role] = ()
    rights: tuple[Right, ...] = ()
    errors: tuple[type[KeysvcError], ...] = ()
    example: msgspec.Struct | None = None


Operations = abc.Sequence[Operation[Any, Any]]
Admit = abc.Callable[[Connected, abc.Collection[Role]], Caller]
"""Says who calls. Raises AccessDenied unless that is somebody with one of the roles."""


Observe = abc.Callable[[str, str, int, bool], object]
"""Hears of each answer: the method, the path as its operation writes it, the status, whether it came from memory."""
FROM_MEMORY = "keysvc.from-memory"
"""In a request's scope when the answer came from memory."""
OTHER = "other"


def unobserved(_method: str, _path: str, _status: int, _from_memory: bool) -> None:
    """Nobody wants to hear of answers."""


def application(
    title: str,
    operations: Operations,
    admit: Admit,
    observe: Observe = unobserved,
    look_again: abc.Callable[[], None] | None = None,
) -> ASGI:
    """An ASGI application that serves the operations, and /openapi.json, whose every error is a problem. `observe`
    hears of each answer. Before somebody with a certificate of this system is refused, `look_again` is called, which
    may block, and `admit` is asked once more."""
    document = whole(msgspec.json.encode(openapi.document(title, operations)), 200)
    by_path = {(operation.method, operation.path): _Endpoint(operation, admit, look_again) for operation in operations}
    table = _Table(by_path)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _refuse_web_pages(scope["headers"])
            endpoint = by_path.get((scope["method"], scope["path"]))
            if endpoint is not None:
                response = await endpoint.answered(scope, receive, NONE_IN_PATH)
            elif scope["path"] == DESCRIPTION and scope["method"] in SAFE:
                response = document
            else:
                response = await table.answered(scope, receive)
        except KeysvcError as error:
            response = refusal(error, scope.get(PATH, "none"), is_known=scope[CONNECTED].is_known)
        except Exception as error:  # noqa: BLE001  what it holds is neither told nor logged
            response = failure(error, scope.get(PATH, "none"))
        path = scope.get(PATH, OTHER)
        observe(OTHER if path is OTHER else scope["method"], path, response.status, FROM_MEMORY in scope)
        await response.send(send)

    return serve


class _Endpoint:
    """An operation, with what is known of it before a request comes."""

    def __init__(self, operation: Operation[Any, Any], admit: Admit, look_again: abc.Callable[[], None] | None) -> None:
        self._operation = operation
        self._admit = admit
        self._look_again = look_again
        self._decoder = msgspec.json.Decoder(operation.content, dec_hook=hide_secret)
        msgspec.json.Decoder(operation.parameters)  # msgspec learns them now: see keysvc.crypto.unreadable
        names = [field.encode_name for field in msgspec.structs.fields(operation.parameters)]
        self._headers = {name.lower().encode("ascii"): name for name in names if openapi.is_header(name)}
        self._is_coroutine = inspect.iscoroutinefunction(operation.handler)

    async def answered(self, scope: Scope, receive: Receive, in_path: abc.Mapping[str, str]) -> Response:
        operation = self._operation
        scope[PATH] = operation.path
        caller = await self._admitted(scope[CONNECTED]) if operation.roles else NOBODY
        parameters = self._parameters(scope, in_path)
        content = NO_CONTENT if scope["method"] in SAFE else await self._content(scope, receive)
        call = Call(caller, parameters, content)
        if operation.cached is not None and (known := operation.cached(call)) is not None:
            scope[FROM_MEMORY] = True
            return known
        found = await self._performed(call, is_known=scope[CONNECTED].is_known)
        if isinstance(found, Response):
            return found
        return Response(204) if operation.answer is None else answer(found, operation.status)

    async def _admitted(self, connected: Connected) -> Caller:
        try:
            return self._admit(connected, self._operation.roles)
        except AccessDenied as denied:
            if self._look_again is None or isinstance(denied, Revoked) or connected.certificate is None:
                raise
        await in_strangers_thread(self._look_again)
        return self._admit(connected, self._operation.roles)

    async def _performed(self, call: Call[Any, Any], *, is_known: bool) -> Any:
        if self._is_coroutine:
            return await self._operation.handler(call)
        return await (in_thread if is_known else in_strangers_thread)(self._operation.handler, call)

    def _parameters(self, scope: Scope, in_path: abc.Mapping[str, str]) -> msgspec.Struct:
        given: dict[str, str] = dict(in_path)
        for name, value in _query(scope["query_string"]):
            if name in given:
                raise InvalidInput(f"the parameter {name!r} is given twice")
            given[name] = value
        if self._headers:
            for header, text in scope["headers"]:
                if header in self._headers:
                    given.setdefault(self._headers[header], text.decode("latin-1"))
        try:
            converted: msgspec.Struct = msgspec.convert(given, self._operation.parameters, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"the parameters cannot be used: {error}") from None
        return converted

    async def _content(self, scope: Scope, receive: Receive) -> msgspec.Struct:
        """Nothing is begun before the request has come to its end, even without content."""
        _refuse_other_types(scope["headers"])
        body = await read_body(receive, scope[CONNECTED].maximum_body_bytes)
        if self._operation.content is NoContent:
            return NO_CONTENT
        try:
            decoded: msgspec.Struct = self._decoder.decode(body)
        except UNREADABLE as error:
            what = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
            raise InvalidInput(f"the body cannot be used: {what}") from None
        return decoded


class _Table:
    """Finds the endpoint of a path that holds parameters, and says what is wrong with all others."""

    def __init__(self, endpoints: abc.Mapping[tuple[str, str], _Endpoint]) -> None:
        self._paths: dict[str, dict[str, _Endpoint]] = {DESCRIPTION: {}}
        for (method, path), endpoint in endpoints.items():
            self._paths.setdefault(path, {})[method] = endpoint

    async def answered(self, scope: Scope, receive: Receive) -> Response:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        for path, endpoints in self._paths.items():
            in_path = _matched(path, scope["path"])
            if in_path is not None and method in endpoints:
                return await endpoints[method].answered(scope, receive, in_path)
            if in_path is not None:
                return _not_for_this_path(scope["method"], endpoints or {"GET": None})
        raise NotFound("there is nothing at this path", hint="see /openapi.json")


def _matched(template: str, path: str) -> dict[str, str] | None:
    """The parameters in the path, or None when it is another path."""
    wanted, parts = template.split("/"), path.split("/")
    if len(wanted) != len(parts):
        return None
    found: dict[str, str] = {}
    for name, part in zip(wanted, parts, strict=True):
        if name.startswith("{") and part:
            found[name[1:-1]] = part
        elif name != part:
            return None
    return found


def _not_for_this_path(method: str, allowed: abc.Collection[str]) -> Response:
    methods = sorted({*allowed, *(["HEAD"] if "GET" in allowed else [])})
    found = Problem("about:blank", "Method Not Allowed", 405, f"{method} is not for this path", "http")
    return problem(found, (b"allow", ", ".join(methods).encode("ascii")))


def _refuse_web_pages(headers: Headers) -> None:
    """A browser that holds a certificate shows it for any page that asks; no page of this server's own asks anything.
    Raises AccessDenied."""
    for name, value in headers:
        if name == b"origin" or (name == b"sec-fetch-site" and value not in {b"none", b"same-origin"}):
            raise AccessDenied("a web page may not ask this server", hint="ask with keysvc, or a program of your own")


def _refuse_other_types(headers: Headers) -> None:
    """JSON is what a browser sends for no page without asking first; keysvc 0.1 names no type. Raises InvalidInput."""
    for name, value in headers:
        if name == b"content-type" and value.partition(b";")[0].strip().lower() != b"application/json":
            raise InvalidInput("the Content-Type of the body must be application/json")


def _query(raw: bytes) -> abc.Iterable[tuple[str, str]]:
    """What `parse_qsl` says, sooner where nothing is escaped."""
    text = raw.decode("latin-1")
    if "%" in text or "+" in text or ";" in text:
        return parse_qsl(text, keep_blank_values=True)
    pairs = (part.partition("=") for part in text.split("&") if part)
    return [(name, value) for name, _, value in pairs]
