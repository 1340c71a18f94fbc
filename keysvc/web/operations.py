"""One table of operations is what is served and what /openapi.json says: each names its parameters, its content and its
answer as types, and requests are checked against just these."""

from __future__ import annotations

import inspect
from collections import abc
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keysvc.errors import InvalidInput, KeysvcError
from keysvc.model import Role
from keysvc.sso.roles import Principal, Right
from keysvc.web import openapi
from keysvc.web.serving import answer, in_thread, json_application, read_body

Parameters = TypeVar("Parameters", bound=msgspec.Struct)
Content = TypeVar("Content", bound=msgspec.Struct)


class NoParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None are taken."""


class NoContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request has no body."""


@dataclass(frozen=True, slots=True)
class Caller(Principal):
    """Who calls; its certificate has the `serial`."""

    serial: str = ""


PRINCIPALS = (Role.ADMINISTRATOR, Role.APPLICATION, Role.SERVER, Role.USER)
"""Whose certificates an agent lets in. What they may do there is a matter of the table of roles."""
NOBODY = Caller("", Role.APPLICATION)


@dataclass(frozen=True, slots=True)
class Call(Generic[Parameters, Content]):
    """A request that was let in and checked."""

    caller: Caller
    parameters: Parameters
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Parameters, Content]):
    """One method of one path.

    A field of `parameters` is in the path when the path names it, a header when its name has a capital letter, else in
    the query. `handler` answers with a value of the type `answer`, with None for 204, or with a whole response; one
    that is no coroutine runs in a thread. `etag` says what the answer's ETag is. `roles` may call it; anyone may when
    there are none; an agent's also needs the `rights`, or those of
    them that the content says. `errors` are those that it raises besides `openapi.ANYWHERE`.
    """

    method: str
    path: str
    summary: str
    handler: abc.Callable[[Call[Parameters, Content]], Any]
    parameters: type[Parameters] = NoParameters  # type: ignore[assignment]
    content: type[Content] = NoContent  # type: ignore[assignment]
    answer: Any = None
    status: int = 200
    etag: str = ""
    other_answers: abc.Mapping[int, str] | None = None
    roles: abc.Collection[Role] = ()
    rights: tuple[Right, ...] = ()
    errors: tuple[type[KeysvcError], ...] = ()


Operations = abc.Sequence[Operation[Any, Any]]
Admit = abc.Callable[[Request, abc.Collection[Role]], Caller]
"""Says who calls. Raises AccessDenied unless that is somebody with one of the roles."""


def application(title: str, operations: Operations, admit: Admit) -> Starlette:
    """An ASGI application that serves the operations, and /openapi.json, whose every error is a problem."""
    described = msgspec.json.encode(openapi.document(title, operations))

    async def description(_request: Request) -> Response:
        return Response(described, media_type="application/json")

    paths: dict[str, dict[str, Operation[Any, Any]]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
    routes = [Route(path, _endpoint(methods, admit), methods=list(methods)) for path, methods in paths.items()]
    return json_application([*routes, Route("/openapi.json", description)])


def _endpoint(
    methods: abc.Mapping[str, Operation[Any, Any]], admit: Admit
) -> abc.Callable[[Request], abc.Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        operation = methods["GET" if request.method == "HEAD" else request.method]
        caller = admit(request, operation.roles) if operation.roles else NOBODY
        parameters = _parameters(request, operation.parameters)
        content = NoContent() if operation.content is NoContent else await _content(request, operation.content)
        call = Call(caller, parameters, content)
        if inspect.iscoroutinefunction(operation.handler):
            found = await operation.handler(call)
        else:
            found = await in_thread(operation.handler, call)
        if isinstance(found, Response):
            return found
        return Response(status_code=204) if operation.answer is None else answer(found, operation.status)

    return handle


def _parameters(request: Request, kind: type[Parameters]) -> Parameters:
    given: dict[str, str] = dict(request.path_params)
    for name, value in request.query_params.multi_items():
        if name in given:
            raise InvalidInput(f"the parameter {name!r} is given twice")
        given[name] = value
    for field in msgspec.structs.fields(kind):
        if openapi.is_header(field.encode_name) and (header := request.headers.get(field.encode_name)) is not None:
            given[field.encode_name] = header
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the parameters cannot be used: {error}") from None


async def _content(request: Request, kind: type[Content]) -> Content:
    body = await read_body(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        what = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise InvalidInput(f"the body cannot be used: {what}") from None
