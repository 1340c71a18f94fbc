"""What talks to an agent: the calls of `keysvc.SSO`, through HTTP on a port or on a UNIX socket."""

from __future__ import annotations

from collections import abc

from keysvc.model import Application, Mapping, Role, SecretText, host_name
from keysvc.sso import Credential, Ticket
from keysvc.sso.service import ServerState
from keysvc.web import messages
from keysvc.web.connection import Connection, Requests, UnixConnection, with_query
from keysvc.web.identity import IdentityFiles

FRESH = {"Cache-Control": "no-cache"}


class AgentClient:
    """The calls of `keysvc.SSO`, through an agent. Thread-safe."""

    _connection: Requests

    def __init__(self, url: str, identity: IdentityFiles, system_id: str) -> None:
        self._connection = Connection(url, identity.client_context(), host_name(Role.SERVER, system_id), "the agent")

    @classmethod
    def on_socket(cls, path: str) -> AgentClient:
        """Through a UNIX socket, where the account of this process says who calls."""
        client = cls.__new__(cls)
        client._connection = UnixConnection(path, "the agent")
        return client

    def credential(self, application: str, *, user: str, fresh: bool = False) -> Credential:
        """As `SSO.credential`."""
        path = with_query("/v1/credential", application=application, user=user)
        return _credential(self._connection.get(path, messages.CredentialBody, FRESH if fresh else None))

    def lookup(self, application: str, *, external_user: str, password: str | SecretText | None = None) -> Credential:
        """As `SSO.lookup`."""
        text = password.reveal() if isinstance(password, SecretText) else password
        asked = messages.LookupRequest(application, external_user, text)
        response = self._connection.request("POST", "/v1/credential/lookup", asked)
        return _credential(self._connection.decode(response, messages.CredentialBody))

    def set_credential(
        self,
        application: str,
        fields: abc.Mapping[str, str | SecretText] | None = None,
        /,
        *,
        user: str,
        external_user: str | None = None,
        expected_revision: int | None = None,
        **named: str | SecretText,
    ) -> int:
        """As `SSO.set_credential`."""
        headers = {}
        if expected_revision is not None:
            headers = {"If-Match": f'"{expected_revision}"'} if expected_revision else {"If-None-Match": "*"}
        asked = messages.SetCredentialRequest(_plain({**(fields or {}), **named}), external_user)
        path = with_query("/v1/credential", application=application, user=user)
        response = self._connection.request("PUT", path, asked, headers)
        return self._connection.decode(response, messages.SetCredentialAnswer).version

    def delete_credential(self, application: str, *, user: str) -> None:
        """As `SSO.delete_credential`."""
        self._connection.request("DELETE", with_query("/v1/credential", application=application, user=user))

    def ticket(self, *, user: str | None = None) -> Ticket:
        """As `SSO.ticket`."""
        response = self._connection.request("POST", "/v1/tickets", messages.TicketRequest(user))
        made = self._connection.decode(response, messages.TicketAnswer)
        return Ticket(SecretText(made.ticket), made.user, made.expires_at)

    def redeem(self, application: str, ticket: str | SecretText, *, sender: str | None = None) -> Credential:
        """As `SSO.redeem`."""
        text = ticket.reveal() if isinstance(ticket, SecretText) else ticket
        asked = messages.RedeemRequest(application, text, sender)
        response = self._connection.request("POST", "/v1/tickets/redemption", asked)
        return _credential(self._connection.decode(response, messages.CredentialBody))

    def set_config_info(self, application: str, properties: abc.Mapping[str, str | SecretText], /, *, name: str) -> int:
        """As `SSO.set_config_info`."""
        path = with_query("/v1/config-info", application=application, name=name)
        response = self._connection.request("PUT", path, messages.ConfigInfo(_plain(properties)))
        return self._connection.decode(response, messages.SetCredentialAnswer).version

    def get_config_info(self, application: str, *, name: str, fresh: bool = False) -> abc.Mapping[str, SecretText]:
        """As `SSO.get_config_info`."""
        path = with_query("/v1/config-info", application=application, name=name)
        found = self._connection.get(path, messages.ConfigInfo, FRESH if fresh else None)
        return {label: SecretText(value) for label, value in found.properties.items()}

    def delete_config_info(self, application: str, *, name: str) -> None:
        """As `SSO.delete_config_info`."""
        self._connection.request("DELETE", with_query("/v1/config-info", application=application, name=name))

    def purge_cache(self, application: str | None = None) -> int:
        """As `SSO.purge_cache`."""
        response = self._connection.request("DELETE", with_query("/v1/cache", application=application))
        return self._connection.decode(response, messages.PurgeAnswer).purged

    def application(self, name: str) -> Application:
        """As `SSO.application`."""
        return self._connection.get(with_query("/v1/application", application=name), Application)

    def applications(self, *, after: str = "", limit: int = 500) -> abc.Sequence[Application]:
        """As `SSO.applications`."""
        path = with_query("/v1/applications", after=after, limit=limit)
        return self._connection.get(path, messages.ApplicationPage).items

    def mappings(self, application: str, *, after: str = "", limit: int = 500) -> abc.Sequence[Mapping]:
        """As `SSO.mappings`."""
        path = with_query("/v1/mappings", application=application, after=after, limit=limit)
        return self._connection.get(path, messages.MappingPage).items

    def status(self) -> ServerState:
        """As `SSO.status`."""
        return self._connection.get("/v1/status", ServerState)

    def close(self) -> None:
        """Repeatable."""
        self._connection.close()


def _plain(values: abc.Mapping[str, str | SecretText]) -> dict[str, str]:
    return {label: value.reveal() if isinstance(value, SecretText) else value for label, value in values.items()}


def _credential(found: messages.CredentialBody) -> Credential:
    fields = {label: SecretText(value) for label, value in found.fields.items()}
    return Credential(
        found.application,
        found.user,
        found.external_user,
        fields,
        frozenset(found.masked),
        found.version,
        found.revision,
    )
