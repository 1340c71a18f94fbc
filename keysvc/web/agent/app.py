"""An SSO server over HTTP, for the applications of this machine. The verbs are those of the Python API."""

from __future__ import annotations

from collections import abc
from typing import Any

from keysvc.model import Role
from keysvc.sso import SSO
from keysvc.web.agent.admission import Admission
from keysvc.web.agent.examples import EXAMPLES
from keysvc.web.agent.local_socket import LocalCallers
from keysvc.web.agent.routes import WIRES
from keysvc.web.agent.wire import Wire
from keysvc.web.asgi.exchange import ASGI, Caller, Connected, Response, answer, etag
from keysvc.web.asgi.routing import PRINCIPALS, Call, NoContent, Observe, Operation, Operations, application, unobserved

TITLE = "keysvc: an agent"


def agent_app(sso: SSO, admission: Admission, local: LocalCallers | None = None, observe: Observe = unobserved) -> ASGI:
    """Answers certificates that are enrolled, and on a UNIX socket the accounts that `local` lets in. The domain says
    what each may do. `observe` hears of each answer."""

    def admit(caller: Connected, roles: abc.Collection[Role]) -> Caller:
        if caller.local_socket is not None and local is not None:
            return local.admit(caller.local_socket)
        return caller.caller(admission.admit, roles)

    return application(TITLE, operations(sso), admit, observe, admission.look_again)


def operations(sso: SSO) -> Operations:
    """What an agent answers: one operation for each request of the table."""
    return [_operation(wire, sso) for wire in WIRES.values()]


def _operation(wire: Wire[Any], sso: SSO) -> Operation[Any, Any]:
    route = wire.route
    example = EXAMPLES.get(route.request)
    packed, etag_of = route.shape.pack, None if route.etag is None else route.etag[0]

    def respond(found: Any, request: Any) -> Response:
        if route.shape.message is None:
            return Response(204)
        headers = () if etag_of is None else (etag(etag_of(found)),)
        return answer(packed(found, request), 200, *headers)

    def perform(call: Call[Any, Any]) -> Response:
        request = wire.read(call.parameters, call.content)
        return respond(sso.perform(request, as_=call.caller), request)

    def cached(call: Call[Any, Any]) -> Response | None:
        request = wire.read(call.parameters, call.content)
        found = sso.cached(request, as_=call.caller)
        return None if found is None else respond(found, request)

    return Operation(
        method=route.method,
        path=route.path,
        summary=route.summary,
        handler=perform,
        cached=cached if route.method == "GET" else None,
        parameters=wire.parameters,
        content=wire.content if wire.content.__struct_fields__ else NoContent,
        answer=route.shape.message,
        etag="" if route.etag is None else route.etag[1],
        roles=PRINCIPALS,
        rights=route.request.needs,
        errors=route.errors,
        example=None if example is None else wire.write(example)[2],
    )
