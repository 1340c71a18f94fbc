"""An SSO server over HTTP, for the applications of this machine. The paths and verbs are those of the Python API."""

from __future__ import annotations

from collections import abc

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keysvc.errors import AccessDenied
from keysvc.model import Role
from keysvc.sso import SSO, Credential
from keysvc.web import messages
from keysvc.web.serving import NOTHING, answer, application, body, in_thread, peer, query

Handler = abc.Callable[[Request], abc.Awaitable[Response]]
ALLOWED = (Role.APPLICATION, Role.ADMINISTRATOR, Role.SERVER)


def agent_app(sso: SSO, system_id: str) -> Starlette:
    """Answers certificates of this system only."""

    def known(handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            caller = peer(request)
            if caller.system_id != system_id or caller.role not in ALLOWED:
                raise AccessDenied(f"{caller.name} is of another system")
            return await handler(request)

        return handle

    @known
    async def get(request: Request) -> Response:
        if "external_user" in request.query_params:
            name, external_user = query(request, "application", "external_user")
            return answer(_body(await in_thread(lambda: sso.lookup(name, external_user=external_user))))
        name, user = query(request, "application", "user")
        fresh = "no-cache" in request.headers.get("cache-control", "")
        return answer(_body(await in_thread(lambda: sso.credential(name, user=user, fresh=fresh))))

    @known
    async def put(request: Request) -> Response:
        asked = await body(request, messages.SetCredentialRequest)
        version = await in_thread(
            lambda: sso.set_credential(
                asked.application, asked.fields, user=asked.user, external_user=asked.external_user
            )
        )
        return answer(messages.SetCredentialAnswer(version))

    @known
    async def delete(request: Request) -> Response:
        name, user = query(request, "application", "user")
        await in_thread(lambda: sso.delete_credential(name, user=user))
        return NOTHING

    @known
    async def purge(request: Request) -> Response:
        return answer(messages.PurgeAnswer(sso.purge_cache(request.query_params.get("application"))))

    @known
    async def status(_request: Request) -> Response:
        return answer(sso.status())

    return application(
        [
            Route("/v1/credential", get),
            Route("/v1/credential", put, methods=["PUT"]),
            Route("/v1/credential", delete, methods=["DELETE"]),
            Route("/v1/cache", purge, methods=["DELETE"]),
            Route("/v1/status", status),
        ]
    )


def _body(credential: Credential) -> messages.CredentialBody:
    return messages.CredentialBody(
        credential.application,
        credential.user,
        credential.external_user,
        {label: value.reveal() for label, value in credential.fields.items()},
        tuple(sorted(credential.masked)),
        credential.version,
    )
