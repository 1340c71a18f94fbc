"""The master secret server over HTTP."""

from __future__ import annotations

from collections import abc

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keysvc.errors import AccessDenied, InvalidInput
from keysvc.master.service import MasterSecretServer
from keysvc.model import BackupRecord, Identity, Role, SecretText
from keysvc.web import messages
from keysvc.web.serving import NOTHING, answer, application, body, in_thread, peer

Handler = abc.Callable[[Request, Identity], abc.Awaitable[Response]]
FETCHING = (Role.SERVER, Role.ADMINISTRATOR)
ADMINISTERING = (Role.ADMINISTRATOR,)


def master_app(master: MasterSecretServer, *, mapping_store: str, poll_interval_seconds: float) -> Starlette:
    """`mapping_store` is the URL that a machine which joins is told; it holds no password."""
    return application(_Routes(master, mapping_store, poll_interval_seconds).all())


class _Routes:
    def __init__(self, master: MasterSecretServer, mapping_store: str, poll_interval_seconds: float) -> None:
        self._master = master
        self._mapping_store = mapping_store
        self._poll_interval_seconds = poll_interval_seconds

    def all(self) -> list[Route]:
        """Every path, and who may use it. The last two are how a machine without a certificate gets one."""
        return [
            self._route("GET", "/v1/poll", self.poll, FETCHING),
            self._route("POST", "/v1/versions/{version:int}", self.fetch, FETCHING),
            self._route("POST", "/v1/goodbye", self.goodbye, FETCHING),
            self._route("GET", "/v1/status", self.status, FETCHING),
            self._route("POST", "/v1/rotations", self.rotate, ADMINISTERING),
            self._route("DELETE", "/v1/versions/{version:int}", self.destroy, ADMINISTERING),
            self._route("POST", "/v1/backups", self.backup_made, ADMINISTERING),
            self._route("POST", "/v1/enrolments", self.enrol, ADMINISTERING),
            self._route("GET", "/v1/identities", self.identities, ADMINISTERING),
            self._route("DELETE", "/v1/identities/{name}", self.revoke, ADMINISTERING),
            Route("/v1/authority", self.authority),
            Route("/v1/join", self.join, methods=["POST"]),
        ]

    def _route(self, method: str, path: str, handler: Handler, roles: abc.Collection[Role]) -> Route:
        async def handle(request: Request) -> Response:
            identity = self._master.identities.admit(peer(request))
            if identity.role not in roles:
                wanted = " or ".join(role.value for role in roles)
                raise AccessDenied(f"{identity.name} has the role {identity.role.value}, and this needs {wanted}")
            return await handler(request, identity)

        return Route(path, handle, methods=[method])

    async def poll(self, request: Request, caller: Identity) -> Response:
        instance, held = _instance(request), _held(request)
        if self._master.knows(caller.name, instance):
            announcement = self._master.poll(caller.name, instance, held)
        else:
            announcement = await in_thread(self._master.poll, caller.name, instance, held)
        headers = {"ETag": announcement.etag, "Cache-Control": "no-store"}
        if request.headers.get("if-none-match") == announcement.etag:
            return Response(status_code=304, headers=headers)
        found = answer(messages.PollAnswer.of(announcement))
        found.headers["ETag"] = announcement.etag
        return found

    async def fetch(self, request: Request, caller: Identity) -> Response:
        asked = await body(request, messages.FetchRequest)
        version = request.path_params["version"]
        sealed = await in_thread(self._master.fetch, version, asked.kem, asked.public_key, caller.name, caller.role)
        return answer(messages.FetchAnswer(sealed))

    async def goodbye(self, request: Request, caller: Identity) -> Response:
        await in_thread(self._master.leave, caller.name, (await body(request, messages.Goodbye)).instance)
        return NOTHING

    async def status(self, _request: Request, _caller: Identity) -> Response:
        return answer(await in_thread(self._master.status))

    async def rotate(self, _request: Request, caller: Identity) -> Response:
        record = await in_thread(self._master.rotate, caller.name)
        return answer(messages.RotationAnswer(record.version), 202)

    async def destroy(self, request: Request, caller: Identity) -> Response:
        force = request.query_params.get("force") == "yes"
        await in_thread(lambda: self._master.destroy(request.path_params["version"], caller.name, force=force))
        return NOTHING

    async def backup_made(self, request: Request, caller: Identity) -> Response:
        made = await body(request, messages.BackupMade)
        await in_thread(self._master.record_backup, BackupRecord(made.created_at, made.versions), caller.name)
        return NOTHING

    async def enrol(self, request: Request, caller: Identity) -> Response:
        asked = await body(request, messages.EnrolRequest)
        if asked.role not in set(Role):
            raise InvalidInput(f"{asked.role!r} is not a role", hint="server, application or administrator")
        token = await in_thread(self._master.identities.enroll, asked.name, Role(asked.role), caller.name)
        return answer(messages.EnrolAnswer(str(token)))

    async def identities(self, _request: Request, _caller: Identity) -> Response:
        return answer([_entry(identity) for identity in self._master.identities.all()])

    async def revoke(self, request: Request, caller: Identity) -> Response:
        await in_thread(self._master.identities.revoke, request.path_params["name"], caller.name)
        return NOTHING

    async def authority(self, _request: Request) -> Response:
        return answer(messages.AuthorityAnswer(self._master.identities.authority_certificate.decode("ascii")))

    async def join(self, request: Request) -> Response:
        asked = await body(request, messages.JoinRequest)
        redeem = self._master.identities.redeem
        identity, certificate = await in_thread(redeem, SecretText(asked.secret), asked.request.encode())
        return answer(
            messages.JoinAnswer(
                identity.name,
                identity.role.value,
                self._master.system_id,
                certificate.decode("ascii"),
                self._mapping_store,
                self._poll_interval_seconds,
            )
        )


def _held(request: Request) -> tuple[int, ...]:
    text = request.query_params.get("holds", "")
    try:
        return tuple(sorted(int(version) for version in text.split(",") if version))
    except ValueError:
        raise InvalidInput("holds must be version numbers, separated by commas") from None


def _instance(request: Request) -> str:
    instance = request.query_params.get("instance", "")
    if not (instance.isalnum() and instance.isascii() and len(instance) <= 32):
        raise InvalidInput("instance must be 1 to 32 letters or digits")
    return instance


def _entry(identity: Identity) -> messages.IdentityEntry:
    return messages.IdentityEntry(
        identity.name, identity.role.value, identity.serial, identity.enrolled_at, identity.revoked_at
    )
