"""What talks to an agent: the calls of `keysvc.SSO`, through HTTP on a port or on a UNIX socket."""

from __future__ import annotations

from collections import abc

from keysvc.model import Application, Mapping, Role, SecretText, host_name
from keysvc.sso import Credential
from keysvc.sso.service import ServerState
from keysvc.web import messages
from keysvc.web.connection import Connection, Requests, UnixConnection, with_query
from keysvc.web.identity import IdentityFiles


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
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        path = with_query("/v1/credential", application=application, user=user)
        return _credential(self._connection.get(path, messages.CredentialBody, headers))

    def lookup(self, application: str, *, external_user: str) -> Credential:
        """As `SSO.lookup`."""
        path = with_query("/v1/credential", application=application, external_user=external_user)
        return _credential(self._connection.get(path, messages.CredentialBody))

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
        plain = {
            label: value.reveal() if isinstance(value, SecretText) else value
            for label, value in {**(fields or {}), **named}.items()
        }
        asked = messages.SetCredentialRequest(plain, external_user)
        path = with_query("/v1/credential", application=application, user=user)
        response = self._connection.request("PUT", path, asked, headers)
        return self._connection.decode(response, messages.SetCredentialAnswer).version

    def delete_credential(self, application: str, *, user: str) -> None:
        """As `SSO.delete_credential`."""
        self._connection.request("DELETE", with_query("/v1/credential", application=application, user=user))

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
