"""An SSO server over HTTP, for the applications of this machine. The verbs are those of the Python API."""

from __future__ import annotations

import itertools
import sys
from collections import abc

from keysvc import errors
from keysvc.errors import CannotDecrypt, InvalidInput, MasterSecretServerUnavailable, NotFound
from keysvc.model import Application, Role
from keysvc.sso import SSO, Credential
from keysvc.sso.authorization import Access
from keysvc.sso.permissions import Right
from keysvc.sso.service import ServerState
from keysvc.web.agent.administration import AdministrationOperations
from keysvc.web.agent.admission import Admission
from keysvc.web.agent.authorization import Authorization
from keysvc.web.agent.local_socket import LocalCallers
from keysvc.web.asgi import messages, parameters
from keysvc.web.asgi.exchange import ASGI, Caller, Connected, Response, answer, etag
from keysvc.web.asgi.routing import PRINCIPALS, Call, NoContent, NoParameters, Operation, Operations, application

TITLE = "keysvc: an agent"


def agent_app(sso: SSO, admission: Admission, access: Access, local: LocalCallers | None = None) -> ASGI:
    """Answers certificates that are enrolled, and on a UNIX socket the accounts that `local` lets in, as far as
    `access` allows."""

    def admit(caller: Connected, roles: abc.Collection[Role]) -> Caller:
        if caller.local_socket is not None and local is not None:
            return local.admit(caller.local_socket)
        return caller.caller(admission.admit, roles)

    return application(TITLE, AgentOperations(sso, access).all(), admit)


class AgentOperations:
    """What an agent answers."""

    def __init__(self, sso: SSO, access: Access) -> None:
        self._sso = sso
        self._access = access
        self._authorization = Authorization(sso, access)

    def all(self) -> Operations:
        """Every one, behind its rights."""
        administration = AdministrationOperations(self._authorization).all()
        ours = (*self._on_credentials(), *self._on_tickets(), *self._on_config_info(), *self._on_the_rest())
        return self._authorization.guarded([*ours, *administration])

    def _on_credentials(self) -> Operations:
        return [
            Operation(
                method="GET",
                path="/v1/credential",
                summary="Look a credential up by user",
                handler=self.credential,
                in_memory=True,
                parameters=parameters.FindCredential,
                answer=messages.CredentialBody,
                etag="changes with the credential, and with its re-encryption; for If-Match",
                roles=PRINCIPALS,
                rights=(Right.LOOK_UP,),
                errors=(NotFound, CannotDecrypt, MasterSecretServerUnavailable),
            ),
            Operation(
                method="POST",
                path="/v1/credential/lookup",
                summary="Look a credential up by external user, for a host; changes nothing",
                handler=self.lookup,
                content=messages.LookupRequest,
                answer=messages.CredentialBody,
                roles=PRINCIPALS,
                rights=(Right.LOOK_UP_BY_EXTERNAL_USER,),
                errors=(NotFound, errors.Conflict, CannotDecrypt, MasterSecretServerUnavailable),
            ),
            Operation(
                method="PUT",
                path="/v1/credential",
                summary="Encrypt and store a credential, in place of all its fields; may be repeated",
                handler=self.set_credential,
                parameters=parameters.PutCredential,
                content=messages.SetCredentialRequest,
                answer=messages.SetCredentialAnswer,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_CREDENTIALS,),
                errors=(NotFound, errors.Conflict, errors.Changed, MasterSecretServerUnavailable),
            ),
            Operation(
                method="DELETE",
                path="/v1/credential",
                summary="Delete a credential; the mapping stays",
                handler=self.delete_credential,
                parameters=parameters.OneCredential,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_CREDENTIALS,),
                errors=(NotFound,),
            ),
            Operation(
                method="DELETE",
                path="/v1/cache",
                summary="Forget the credentials of an application, or all, that are kept in memory",
                handler=self.purge_cache,
                parameters=parameters.SomeApplication,
                answer=messages.PurgeAnswer,
                roles=PRINCIPALS,
                rights=(Right.PURGE_CACHE,),
            ),
        ]

    def _on_tickets(self) -> Operations:
        return [
            Operation(
                method="POST",
                path="/v1/tickets",
                summary="Issue a ticket for a user, or for the caller; one that nobody redeems ends by itself",
                handler=self.ticket,
                content=messages.TicketRequest,
                answer=messages.TicketAnswer,
                roles=PRINCIPALS,
                rights=(Right.ISSUE_TICKETS,),
                errors=(CannotDecrypt, MasterSecretServerUnavailable),
            ),
            Operation(
                method="POST",
                path="/v1/tickets/redemption",
                summary="Trade a ticket, once, for its user's credential",
                handler=self.redeem,
                content=messages.RedeemRequest,
                answer=messages.CredentialBody,
                roles=PRINCIPALS,
                rights=(Right.REDEEM_TICKETS,),
                errors=(NotFound, CannotDecrypt, MasterSecretServerUnavailable),
            ),
        ]

    def _on_config_info(self) -> Operations:
        return [
            Operation(
                method="GET",
                path="/v1/config-info",
                summary="The properties of a bag of the config store",
                handler=self.config_info,
                parameters=parameters.FindBag,
                answer=messages.ConfigInfo,
                roles=PRINCIPALS,
                rights=(Right.SEE_CONFIG_INFO,),
                errors=(NotFound, CannotDecrypt, MasterSecretServerUnavailable),
            ),
            Operation(
                method="PUT",
                path="/v1/config-info",
                summary="Encrypt and store a property bag, in place of all its properties; may be repeated",
                handler=self.set_config_info,
                parameters=parameters.OneBag,
                content=messages.ConfigInfo,
                answer=messages.SetCredentialAnswer,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_CONFIG_INFO,),
                errors=(NotFound, errors.Conflict, MasterSecretServerUnavailable),
            ),
            Operation(
                method="DELETE",
                path="/v1/config-info",
                summary="Delete a property bag",
                handler=self.delete_config_info,
                parameters=parameters.OneBag,
                roles=PRINCIPALS,
                rights=(Right.CHANGE_CONFIG_INFO,),
                errors=(NotFound,),
            ),
        ]

    def _on_the_rest(self) -> Operations:
        return [
            Operation(
                method="GET",
                path="/v1/application",
                summary="An affiliate application",
                handler=self.application,
                parameters=parameters.OneApplication,
                answer=Application,
                roles=PRINCIPALS,
                rights=(Right.SEE_APPLICATION,),
                errors=(NotFound,),
            ),
            Operation(
                method="GET",
                path="/v1/applications",
                summary="The affiliate applications that the caller has a role in, in pages by name",
                handler=self.applications,
                parameters=parameters.Page,
                answer=messages.ApplicationPage,
                roles=PRINCIPALS,
            ),
            Operation(
                method="GET",
                path="/v1/mappings",
                summary="The mappings of an application, or of them the caller's own, in pages by user",
                handler=self.mappings,
                parameters=parameters.PageOfApplication,
                answer=messages.MappingPage,
                roles=PRINCIPALS,
                rights=(Right.SEE_MAPPINGS,),
                errors=(NotFound,),
            ),
            Operation(
                method="GET",
                path="/v1/status",
                summary="What this SSO server knows",
                handler=self.status,
                in_memory=True,
                answer=ServerState,
                roles=PRINCIPALS,
            ),
        ]

    def _for(self, caller: Caller) -> SSO:
        return self._authorization.sso_for(caller)

    def credential(self, call: Call[parameters.FindCredential, NoContent]) -> Response:
        """With its revision as ETag."""
        asked, sso = call.parameters, self._for(call.caller)
        fresh = parameters.is_fresh(asked.cache_control)
        found = sso.credential(asked.application, user=asked.user, fresh=fresh)
        return answer(credential_body(found), 200, etag(f'"{found.revision}"'))

    def lookup(self, call: Call[NoParameters, messages.LookupRequest]) -> messages.CredentialBody:
        """As the host asks."""
        asked, sso = call.content, self._for(call.caller)
        return credential_body(
            sso.lookup(asked.application, external_user=asked.external_user, password=asked.password)
        )

    def set_credential(
        self, call: Call[parameters.PutCredential, messages.SetCredentialRequest]
    ) -> messages.SetCredentialAnswer:
        """As `If-Match` or `If-None-Match` allow."""
        where, asked = call.parameters, call.content
        if where.if_match is not None and where.if_none_match is not None:
            raise InvalidInput("If-Match and If-None-Match exclude each other")
        expected = 0 if where.if_none_match else int(where.if_match.strip('"')) if where.if_match else None
        version = self._for(call.caller).set_credential(
            where.application,
            asked.fields,
            user=where.user,
            external_user=asked.external_user,
            expected_revision=expected,
        )
        return messages.SetCredentialAnswer(version)

    def delete_credential(self, call: Call[parameters.OneCredential, NoContent]) -> None:
        """For good."""
        where = call.parameters
        self._for(call.caller).delete_credential(where.application, user=where.user)

    def ticket(self, call: Call[NoParameters, messages.TicketRequest]) -> messages.TicketAnswer:
        """A bearer's secret."""
        user = call.content.user if call.content.user is not None else call.caller.name
        made = self._for(call.caller).ticket(user=user)
        return messages.TicketAnswer(made.text.reveal(), made.user, made.expires_at)

    def redeem(self, call: Call[NoParameters, messages.RedeemRequest]) -> messages.CredentialBody:
        """Once."""
        asked = call.content
        return credential_body(self._for(call.caller).redeem(asked.application, asked.ticket, sender=asked.sender))

    def config_info(self, call: Call[parameters.FindBag, NoContent]) -> messages.ConfigInfo:
        """In plain."""
        asked, fresh = call.parameters, parameters.is_fresh(call.parameters.cache_control)
        found = self._for(call.caller).get_config_info(asked.application, name=asked.name, fresh=fresh)
        return messages.ConfigInfo({label: value.reveal() for label, value in found.items()})

    def set_config_info(self, call: Call[parameters.OneBag, messages.ConfigInfo]) -> messages.SetCredentialAnswer:
        """All of it."""
        where, sso = call.parameters, self._for(call.caller)
        return messages.SetCredentialAnswer(
            sso.set_config_info(where.application, call.content.properties, name=where.name)
        )

    def delete_config_info(self, call: Call[parameters.OneBag, NoContent]) -> None:
        """For good."""
        self._for(call.caller).delete_config_info(call.parameters.application, name=call.parameters.name)

    def purge_cache(self, call: Call[parameters.SomeApplication, NoContent]) -> messages.PurgeAnswer:
        """Of this agent only."""
        return messages.PurgeAnswer(self._sso.purge_cache(call.parameters.application))

    def application(self, call: Call[parameters.OneApplication, NoContent]) -> Application:
        """Its definition."""
        return self._for(call.caller).application(call.parameters.application)

    def applications(self, call: Call[parameters.Page, NoContent]) -> messages.ApplicationPage:
        """By name, those that the caller may see."""
        page = call.parameters
        every = self._for(call.caller).applications(after=page.after, limit=sys.maxsize)
        found = tuple(itertools.islice(self._access.visible(call.caller, every), page.limit))
        return messages.ApplicationPage(found, found[-1].name if len(found) == page.limit else None)

    def mappings(self, call: Call[parameters.PageOfApplication, NoContent]) -> messages.MappingPage:
        """By user, those that the caller may see."""
        page = call.parameters
        own = self._access.own_mappings(call.caller, page.application)
        if own is None:
            found = tuple(self._for(call.caller).mappings(page.application, after=page.after, limit=page.limit))
        else:
            found = tuple(mapping for mapping in own if mapping.user > page.after)[: page.limit]
        return messages.MappingPage(found, found[-1].user if len(found) == page.limit else None)

    def status(self, _call: Call[NoParameters, NoContent]) -> ServerState:
        """In memory."""
        return self._sso.status()


def credential_body(credential: Credential) -> messages.CredentialBody:
    """In plain: for whoever was let in."""
    return messages.CredentialBody(
        credential.application,
        credential.user,
        credential.external_user,
        {label: value.reveal() for label, value in credential.fields.items()},
        tuple(sorted(credential.masked)),
        credential.version,
        credential.revision,
    )
