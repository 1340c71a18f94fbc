"""How requests of the domain travel over HTTP: one table entry for each, from which a server's parsing, its OpenAPI and
a client's sending are made."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple

import msgspec

from keysvc.errors import KeysvcError
from keysvc.sso.requests.request import Answer, Request
from keysvc.web.asgi.messages import Body
from keysvc.web.asgi.openapi import is_header
from keysvc.web.asgi.parameters import Parameters


class Member(NamedTuple):
    """A parameter, or a member of a body: with a capital letter in its name it is a header."""

    name: str
    kind: Any
    default: Any = msgspec.NODEFAULT


@dataclass(frozen=True, slots=True)
class Coding:
    """How one field of a request travels when it does not go as it is. `read` makes its value of the members, in their
    order; `write` is the way back."""

    members: tuple[Member, ...]
    read: abc.Callable[..., Any]
    write: abc.Callable[[Any], abc.Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Shape(Generic[Answer]):
    """How an answer travels: `message` is its type, None for no content. `pack` also sees the request."""

    message: Any
    pack: abc.Callable[[Answer, Any], Any] = lambda answer, _request: answer
    unpack: abc.Callable[[Any], Answer] = lambda message: message
    decoder: msgspec.json.Decoder[Any] | None = field(init=False)

    def __post_init__(self) -> None:
        """Make the decoder while the table of routes is imported."""
        decoder = None if self.message is None else msgspec.json.Decoder(self.message)
        object.__setattr__(self, "decoder", decoder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[Answer]):
    """Where a request is sent. The fields named in `query`, and those whose coding has headers, are parameters; all
    others are members of the body."""

    method: str
    path: str
    request: type[Request[Answer]]
    summary: str
    shape: Shape[Answer]
    query: tuple[str, ...] = ()
    codings: abc.Mapping[str, Coding] = field(default_factory=dict)
    etag: tuple[abc.Callable[[Answer], str], str] | None = None
    errors: tuple[type[KeysvcError], ...] = ()


class Wire(Generic[Answer]):
    """A route with the types of its parameters and of its body. A request that is all in the query, or all in the body,
    is itself that type."""

    def __init__(self, route: Route[Answer]) -> None:
        self.route = route
        kind = route.request
        codings = {info.name: route.codings.get(info.name) or _as_it_is(info) for info in _fields(kind)}
        self._in_query = {name: coding for name, coding in codings.items() if _is_parameter(route, name, coding)}
        self._in_body = {name: coding for name, coding in codings.items() if name not in self._in_query}
        self.parameters = _struct(kind, f"{kind.__name__}Parameters", self._in_query, Parameters)
        self.content = _struct(kind, kind.__name__, self._in_body, Body)

    def read(self, parameters: msgspec.Struct, content: msgspec.Struct) -> Request[Answer]:
        """Return the request that was sent."""
        values = {**_values(self._in_query, parameters), **_values(self._in_body, content)}
        return self.route.request(**values)

    def write(self, request: Request[Answer]) -> tuple[dict[str, Any], dict[str, str], msgspec.Struct | None]:
        """Return the query, the headers and the body to send."""
        sent = msgspec.to_builtins(_written(self.parameters, self._in_query, request))
        query = {name: value for name, value in sent.items() if not is_header(name)}
        headers = {name: value for name, value in sent.items() if is_header(name)}
        return query, headers, _written(self.content, self._in_body, request) if self._in_body else None


def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def _as_it_is(info: msgspec.structs.FieldInfo) -> Coding:
    return Coding((Member(info.encode_name, info.type, info.default),), lambda value: value, lambda value: (value,))


def _is_parameter(route: Route[Any], name: str, coding: Coding) -> bool:
    return name in route.query or any(is_header(member.name) for member in coding.members)


def _struct(
    kind: type[Request[Any]], name: str, codings: abc.Mapping[str, Coding], base: type[msgspec.Struct]
) -> type[msgspec.Struct]:
    members = [member for coding in codings.values() for member in coding.members]
    fields = [
        (_attribute(member), member.kind, msgspec.field(default=member.default, name=member.name)) for member in members
    ]
    return msgspec.defstruct(
        name,
        fields,
        bases=(base,),
        namespace={"__doc__": kind.__doc__},
        frozen=True,
        forbid_unknown_fields=True,
        kw_only=True,
        omit_defaults=base is Parameters,
    )


def _attribute(member: Member) -> str:
    return member.name.lower().replace("-", "_")


def _values(codings: abc.Mapping[str, Coding], sent: msgspec.Struct) -> dict[str, Any]:
    return {
        name: coding.read(*(getattr(sent, _attribute(member)) for member in coding.members))
        for name, coding in codings.items()
    }


def _written(kind: type[msgspec.Struct], codings: abc.Mapping[str, Coding], request: Request[Any]) -> msgspec.Struct:
    given: dict[str, Any] = {}
    for name, coding in codings.items():
        written = coding.write(getattr(request, name))
        given |= {_attribute(member): value for member, value in zip(coding.members, written, strict=True)}
    return kind(**given)
