"""What talks to an agent: the calls of `keysvc.SSO`, through HTTP on a port or on a UNIX socket."""

from __future__ import annotations

from collections import abc
from typing import TypeVar

from keysvc.model import Application, ApplicationType, Field, Flags, Mapping, Role, SecretText, host_name
from keysvc.sso import Credential, Ticket
from keysvc.sso.administration import NO_CHANGE, NO_FLAGS, PAGE
from keysvc.sso.service import ServerState
from keysvc.web.asgi import messages
from keysvc.web.asgi.connection import Connection, Requests, UnixConnection, with_query
from keysvc.web.tls.identity_files import IdentityFiles

Answer = TypeVar("Answer")
FRESH = {"Cache-Control": "no-cache"}


class AgentClient:
    """The calls of `keysvc.SSO`, through an agent. Thread-safe."""

    _connection: Requests

    def __init__(self, url: str, identity: IdentityFiles, system_id: str) -> None:
        self._connection = Connection(
            url, identity.client_context(), host_name(Role.SERVER, system_id), "the agent", identity.problem_with_dates
        )

    @classmethod
    def on_socket(cls, path: str, account: str | None = None) -> AgentClient:
        """Through a UNIX socket, where the account of this process says who calls.

        `account` is the one that the agent runs as, when that is neither root nor the account of this process: each
        call raises AccessDenied where another listens.
        """
        client = cls.__new__(cls)
        client._connection = UnixConnection(path, "the agent", account)
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

    @property
    def administration(self) -> AgentAdministration:
        """Applications and mappings."""
        return AgentAdministration(self._connection)

    def close(self) -> None:
        """Repeatable."""
        self._connection.close()


class AgentAdministration:
    """The calls of `keysvc.SSO.administration`, through an agent; the roles of the caller say which it may use."""

    def __init__(self, connection: Requests) -> None:
        self._connection = connection

    def create_application(
        self,
        name: str,
        fields: abc.Sequence[Field],
        *,
        type_: ApplicationType = ApplicationType.INDIVIDUAL,
        flags: Flags = NO_FLAGS,
        description: str = "",
        contact: str = "",
        user_accounts: abc.Sequence[str] = (),
        administrator_accounts: abc.Sequence[str] = (),
        ticket_timeout_minutes: int | None = None,
    ) -> Application:
        """As `Administration.create_application`; the same again is answered with what is there."""
        asked = messages.CreateApplicationRequest(
            tuple(map(messages.NewField.of, fields)),
            type_,
            messages.NewFlags.of(flags) if flags is not None else None,
            description,
            contact,
            tuple(user_accounts),
            tuple(administrator_accounts),
            ticket_timeout_minutes,
        )
        return self._ask("PUT", "/v1/application", asked, Application, application=name)

    def application(self, name: str) -> Application:
        """As `Administration.application`."""
        return self._connection.get(with_query("/v1/application", application=name), Application)

    def change_application(
        self,
        name: str,
        *,
        flags: abc.Mapping[str, bool] = NO_CHANGE,
        description: str | None = None,
        contact: str | None = None,
        user_accounts: abc.Sequence[str] | None = None,
        administrator_accounts: abc.Sequence[str] | None = None,
        ticket_timeout_minutes: int | None = None,
    ) -> Application:
        """As `Administration.change_application`."""
        asked = messages.ApplicationChange(
            dict(flags),
            description,
            contact,
            None if user_accounts is None else tuple(user_accounts),
            None if administrator_accounts is None else tuple(administrator_accounts),
            ticket_timeout_minutes,
        )
        return self._ask("PATCH", "/v1/application", asked, Application, application=name)

    def enable_application(self, name: str, enabled: bool) -> None:
        """As `Administration.enable_application`."""
        self.change_application(name, flags={"enabled": enabled})

    def delete_application(self, name: str) -> None:
        """As `Administration.delete_application`."""
        self._connection.request("DELETE", with_query("/v1/application", application=name))

    def set_mapping(self, application: str, user: str, external_user: str, *, enable: bool = False) -> Mapping:
        """As `Administration.set_mapping`."""
        asked = messages.MappingRequest(external_user, enable)
        return self._ask("PUT", "/v1/mapping", asked, Mapping, application=application, user=user)

    def mapping(self, application: str, user: str) -> Mapping:
        """As `Administration.mapping`."""
        return self._connection.get(with_query("/v1/mapping", application=application, user=user), Mapping)

    def mappings(self, application: str) -> abc.Iterator[Mapping]:
        """As `Administration.mappings`, those that the caller may see."""
        after: str | None = ""
        while after is not None:
            path = with_query("/v1/mappings", application=application, after=after, limit=PAGE)
            page = self._connection.get(path, messages.MappingPage)
            yield from page.items
            after = page.next

    def enable_mapping(self, application: str, user: str, enabled: bool) -> None:
        """As `Administration.enable_mapping`."""
        asked = messages.Enabled(enabled)
        self._ask("PATCH", "/v1/mapping", asked, Mapping, application=application, user=user)

    def enable_all_mappings(self, application: str, enabled: bool) -> int:
        """As `Administration.enable_all_mappings`."""
        asked = messages.Enabled(enabled)
        return self._ask("PATCH", "/v1/mappings", asked, messages.Changed, application=application).changed

    def delete_mapping(self, application: str, user: str) -> None:
        """As `Administration.delete_mapping`."""
        self._connection.request("DELETE", with_query("/v1/mapping", application=application, user=user))

    def _ask(self, method: str, path: str, content: messages.Body, answer: type[Answer], **where: str) -> Answer:
        return self._connection.decode(self._connection.request(method, with_query(path, **where), content), answer)


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
