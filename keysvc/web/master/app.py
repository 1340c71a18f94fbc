"""The master secret server over HTTP."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from datetime import timedelta

from keysvc import errors
from keysvc.errors import InvalidInput, MasterSecretServerUnavailable
from keysvc.master.cluster_member import Member
from keysvc.master.servers import PollRequest
from keysvc.master.service import MasterSecretServer
from keysvc.master.status import SystemStatus
from keysvc.model import Announcement, BackupRecord, Identity, Role, RotationSettings, SecretText
from keysvc.web.asgi import messages, parameters
from keysvc.web.asgi.exchange import ASGI, NO_STORE, Caller, Connected, Response, answer, etag, in_thread
from keysvc.web.asgi.long_poll import Waiting
from keysvc.web.asgi.routing import (
    Call,
    NoContent,
    NoParameters,
    Observe,
    Operation,
    Operations,
    application,
    unobserved,
)
from keysvc.web.master.administration import Administration, Here

TITLE = "keysvc: the master secret server"
FETCHING = (Role.SERVER, Role.ADMINISTRATOR, Role.MASTER)
ADMINISTERING = (Role.ADMINISTRATOR,)
EVERYBODY = tuple(Role)
WAIT_OF_INTERVAL = 2 / 3
"""A poll waits for so much of the poll interval, at most: what it permits lasts two from its beginning."""
NOT_MASTER = (MasterSecretServerUnavailable, errors.Fenced)
NOTHING_KNOWN = Here()


@dataclass(frozen=True, slots=True)
class JoinInfo:
    """What a machine that joins is told. The URL of the mapping store holds no password; `authority` is the
    certificate authority's certificate (PEM)."""

    system_id: str
    mapping_store: str
    authority: bytes
    poll_interval: timedelta
    lease_ttl: timedelta


def master_app(
    member: Member, waiting: Waiting, facts: JoinInfo, here: Here = NOTHING_KNOWN, observe: Observe = unobserved
) -> ASGI:
    """`waiting` is told by `member` when polls have a new answer. `observe` hears of each answer."""

    def admit(caller: Connected, roles: abc.Collection[Role]) -> Caller:
        return caller.caller(member.active.identities.admit, roles)

    return application(TITLE, MasterOperations(member, waiting, facts, here).all(), admit, observe)


class MasterOperations:
    """What the master secret server answers. A standby answers NotActive, which names the active one."""

    def __init__(self, member: Member, waiting: Waiting, facts: JoinInfo, here: Here = NOTHING_KNOWN) -> None:
        self._administration = Administration(lambda: self._master, here)
        self._member = member
        self._waiting = waiting
        self._facts = facts
        self._unchanged = "", Response(304)

    @property
    def _master(self) -> MasterSecretServer:
        return self._member.active

    def all(self) -> Operations:
        """Every one, and who may use it. The last two are how a machine without a certificate gets one."""
        return [
            *self._for_servers(),
            *self._for_masters(),
            *self._of_versions(),
            *self._for_administrators(),
            *self._administration.operations(),
            *self._for_anyone(),
        ]

    def _for_servers(self) -> Operations:
        return [
            Operation(
                method="GET",
                path="/v1/poll",
                summary="Ask whether anything changed; answered well, it is a permission to encrypt for two intervals",
                handler=self.poll,
                parameters=parameters.Poll,
                answer=messages.PollAnswer,
                etag="changes when there is something to do; for If-None-Match",
                other_answers={304: "Nothing changed since the ETag"},
                roles=FETCHING,
                errors=(errors.RateLimited, *NOT_MASTER),
            ),
            Operation(
                method="POST",
                path="/v1/versions/{version}",
                summary="Fetch a version, sealed to a fresh public key (HPKE, RFC 9180)",
                handler=self.fetch,
                parameters=parameters.OneVersion,
                content=messages.FetchRequest,
                answer=messages.FetchAnswer,
                roles=FETCHING,
                errors=(
                    errors.VersionNotFound,
                    errors.ProtocolError,
                    errors.RateLimited,
                    errors.KeyStoreError,
                    *NOT_MASTER,
                ),
            ),
            Operation(
                method="POST",
                path="/v1/goodbye",
                summary="Say that a process encrypts no more",
                handler=self.goodbye,
                content=messages.Goodbye,
                roles=FETCHING,
                errors=NOT_MASTER,
            ),
            Operation(
                method="POST",
                path="/v1/renewal",
                summary="Trade the caller's certificate for a new one; the old one stays good until it ends",
                handler=self.renew,
                content=messages.RenewalRequest,
                answer=messages.RenewalAnswer,
                roles=EVERYBODY,
                errors=(errors.ConfigurationError, errors.Conflict, errors.RateLimited, *NOT_MASTER),
            ),
            Operation(
                method="GET",
                path="/v1/status",
                summary="Everything that the master secret server knows",
                handler=self.status,
                answer=SystemStatus,
                roles=FETCHING,
                errors=NOT_MASTER,
            ),
        ]

    def _for_masters(self) -> Operations:
        return [
            Operation(
                method="POST",
                path="/v1/authority-key",
                summary="Fetch the certificate authority's key for a standby, sealed to a fresh public key",
                handler=self.authority_key,
                content=messages.FetchRequest,
                answer=messages.FetchAnswer,
                roles=(Role.MASTER,),
                errors=(errors.ProtocolError, errors.RateLimited, *NOT_MASTER),
            ),
            Operation(
                method="POST",
                path="/v1/step-down",
                summary="Hand over to a standby that is ready",
                handler=self.step_down,
                parameters=parameters.StepDown,
                roles=(Role.ADMINISTRATOR, Role.MASTER),
                errors=(errors.Conflict, *NOT_MASTER),
            ),
        ]

    def _of_versions(self) -> Operations:
        return [
            Operation(
                method="POST",
                path="/v1/rotations",
                summary="Begin a rotation, or answer with the one that is announced already",
                handler=self.rotate,
                parameters=parameters.Rotation,
                answer=messages.RotationAnswer,
                status=202,
                roles=ADMINISTERING,
                errors=(errors.VersionNotFound, errors.KeyStoreError, *NOT_MASTER),
            ),
            Operation(
                method="PATCH",
                path="/v1/rotation",
                summary="Pause or resume rotations, limit how fast they are; until changed again",
                handler=self.change_rotation,
                content=messages.RotationChange,
                answer=RotationSettings,
                roles=ADMINISTERING,
                errors=NOT_MASTER,
            ),
            Operation(
                method="DELETE",
                path="/v1/versions/{version}",
                summary="Destroy a version that retired",
                handler=self.destroy,
                parameters=parameters.DestroyVersion,
                roles=ADMINISTERING,
                errors=(errors.NotFound, errors.VersionInUse, errors.KeyStoreError, *NOT_MASTER),
            ),
        ]

    def _for_administrators(self) -> Operations:
        return [
            Operation(
                method="POST",
                path="/v1/backups",
                summary="Tell that a backup was written and proved",
                handler=self.backup_made,
                content=messages.BackupMade,
                roles=ADMINISTERING,
                errors=(errors.NotFound, *NOT_MASTER),
            ),
            Operation(
                method="POST",
                path="/v1/enrolments",
                summary="Make a one-time join token",
                handler=self.enrol,
                content=messages.EnrolRequest,
                answer=messages.EnrolAnswer,
                roles=ADMINISTERING,
                errors=NOT_MASTER,
            ),
            Operation(
                method="GET",
                path="/v1/enrolments",
                summary="The join tokens that can be redeemed",
                handler=self.tokens,
                answer=messages.TokenPage,
                roles=ADMINISTERING,
                errors=NOT_MASTER,
            ),
            Operation(
                method="DELETE",
                path="/v1/enrolments/{name}",
                summary="Cancel the join tokens of a name",
                handler=self.cancel_tokens,
                parameters=parameters.OneIdentity,
                answer=messages.TokensCancelled,
                roles=ADMINISTERING,
                errors=(errors.NotFound, errors.Conflict, *NOT_MASTER),
            ),
            Operation(
                method="GET",
                path="/v1/identities",
                summary="Everyone who was enrolled",
                handler=self.identities,
                parameters=parameters.Page,
                answer=messages.IdentityPage,
                roles=ADMINISTERING,
            ),
            Operation(
                method="DELETE",
                path="/v1/identities/{name}",
                summary="Revoke a certificate, and cancel the join tokens of its name",
                handler=self.revoke,
                parameters=parameters.RevokedIdentity,
                roles=ADMINISTERING,
                errors=(errors.NotFound, errors.ProtocolError, errors.Conflict, *NOT_MASTER),
            ),
        ]

    def _for_anyone(self) -> Operations:
        return [
            Operation(
                method="GET",
                path="/v1/authority",
                summary="The authority's certificate, worth nothing before its fingerprint was compared",
                handler=self.authority,
                answer=messages.AuthorityAnswer,
                errors=(errors.RateLimited,),
            ),
            Operation(
                method="POST",
                path="/v1/join",
                summary="Trade a join token for a certificate",
                handler=self.join,
                content=messages.JoinRequest,
                answer=messages.JoinAnswer,
                errors=(errors.AccessDenied, errors.RateLimited, *NOT_MASTER),
            ),
        ]

    async def poll(self, call: Call[parameters.Poll, NoContent]) -> Response:
        """One that waits is a coroutine that sleeps until something changes."""
        caller, asked, master = call.caller, call.parameters, self._member.active
        moment = self._waiting.moment() if asked.wait > 0 else None
        url, problem = (asked.url, asked.problem) if caller.role is Role.MASTER else ("", "")
        held = master.announced().numbers_of(asked.versions_held)
        said = PollRequest(caller.name, asked.instance, held, caller.role, url, problem, asked.schema_version)
        announcement = master.heard_again(said)
        if announcement is None:
            announcement = await in_thread(master.heard, said)
        if moment is not None and asked.if_none_match == announcement.etag:
            await moment.passes(min(asked.wait, WAIT_OF_INTERVAL * announcement.poll_interval.total_seconds()))
            announcement = self._master.announced()
        return self._answered(announcement, asked.if_none_match)

    def _answered(self, announcement: Announcement, known: str | None) -> Response:
        """Nearly always the same."""
        if known != announcement.etag:
            return answer(messages.PollAnswer.of(announcement), 200, etag(announcement.etag))
        of, unchanged = self._unchanged
        if of != known:
            unchanged = Response(304, (etag(known), NO_STORE))
            self._unchanged = known, unchanged
        return unchanged

    def authority_key(self, call: Call[NoParameters, messages.FetchRequest]) -> messages.FetchAnswer:
        """Sealed."""
        asked = call.content
        return messages.FetchAnswer(self._master.fetch_authority_key(asked.kem, asked.public_key, call.caller.name))

    def step_down(self, call: Call[parameters.StepDown, NoContent]) -> None:
        """The lease is free when this is answered."""
        self._member.step_down(call.caller.name, force=call.parameters.force)

    def fetch(self, call: Call[parameters.OneVersion, messages.FetchRequest]) -> messages.FetchAnswer:
        """Sealed."""
        asked, caller = call.content, call.caller
        return messages.FetchAnswer(
            self._master.fetch(call.parameters.version, asked.kem, asked.public_key, caller.name, caller.role)
        )

    def goodbye(self, call: Call[NoParameters, messages.Goodbye]) -> None:
        """Of one process."""
        self._master.leave(call.caller.name, call.content.instance)

    def renew(self, call: Call[NoParameters, messages.RenewalRequest]) -> messages.RenewalAnswer:
        """Of its own name only."""
        caller, request = call.caller, call.content.request.encode("utf-8", "replace")
        certificate = self._master.identities.renew(caller.name, caller.serial, request)
        return messages.RenewalAnswer(certificate.decode("ascii"))

    def status(self, _call: Call[NoParameters, NoContent]) -> SystemStatus:
        """Read now."""
        return self._master.status()

    def rotate(self, call: Call[parameters.Rotation, NoContent]) -> messages.RotationAnswer:
        """It goes on by itself."""
        record = self._master.rotate(call.caller.name, compromised=call.parameters.compromised)
        return messages.RotationAnswer(record.version, record.state)

    def change_rotation(self, call: Call[NoParameters, messages.RotationChange]) -> RotationSettings:
        """At once."""
        asked = call.content
        return self._master.change_rotation(
            call.caller.name, paused=asked.paused, max_rows_per_second=asked.max_rows_per_second
        )

    def destroy(self, call: Call[parameters.DestroyVersion, NoContent]) -> None:
        """For good."""
        self._master.destroy(call.parameters.version, call.caller.name, force=call.parameters.force)

    def backup_made(self, call: Call[NoParameters, messages.BackupMade]) -> None:
        """By an SSO administrator, who proved it."""
        record = BackupRecord(call.content.created_at, call.content.versions)
        self._master.record_backup(record, call.caller.name)

    def enrol(self, call: Call[NoParameters, messages.EnrolRequest]) -> messages.EnrolAnswer:
        """Shown once."""
        asked = call.content
        if asked.role not in set(Role):
            raise InvalidInput(
                f"{asked.role!r} is not a role", hint="server, application, user, administrator or master"
            )
        return messages.EnrolAnswer(str(self._master.identities.enroll(asked.name, Role(asked.role), call.caller.name)))

    def tokens(self, _call: Call[NoParameters, NoContent]) -> messages.TokenPage:
        """Not the tokens themselves: nobody keeps those."""
        found = self._master.identities.tokens()
        return messages.TokenPage(tuple(messages.TokenEntry(e.name, e.role.value, e.expires_at) for e in found))

    def cancel_tokens(self, call: Call[parameters.OneIdentity, NoContent]) -> messages.TokensCancelled:
        """At once."""
        cancelled = self._master.identities.cancel_tokens(call.parameters.name, call.caller.name)
        return messages.TokensCancelled(cancelled)

    def identities(self, call: Call[parameters.Page, NoContent]) -> messages.IdentityPage:
        """By name."""
        page = call.parameters
        found = [identity for identity in self._master.identities.all() if identity.name > page.after]
        items = tuple(_entry(identity) for identity in found[: page.limit])
        return messages.IdentityPage(items, items[-1].name if len(found) > page.limit else None)

    def revoke(self, call: Call[parameters.RevokedIdentity, NoContent]) -> None:
        """At once."""
        self._master.identities.revoke(call.parameters.name, call.caller.name, force=call.parameters.force)

    def authority(self, _call: Call[NoParameters, NoContent]) -> messages.AuthorityAnswer:
        """Public."""
        return messages.AuthorityAnswer(self._facts.authority.decode("ascii"), self._facts.system_id)

    def join(self, call: Call[NoParameters, messages.JoinRequest]) -> messages.JoinAnswer:
        """The token is the right to it."""
        asked = call.content
        identity, certificate = self._master.identities.redeem(SecretText(asked.secret), asked.request.encode())
        return messages.JoinAnswer(
            identity.name,
            identity.role.value,
            self._master.system_id,
            certificate.decode("ascii"),
            self._facts.mapping_store,
            self._facts.poll_interval.total_seconds(),
            self._facts.lease_ttl.total_seconds(),
        )


def _entry(identity: Identity) -> messages.IdentityEntry:
    return messages.IdentityEntry(
        identity.name,
        identity.role.value,
        identity.serial,
        identity.enrolled_at,
        identity.revoked_at,
        identity.expires_at,
    )
