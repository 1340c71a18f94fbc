"""The Python calls: each builds a request. `SSO` carries it out in this process, `AgentClient` sends it to an agent.

Without the right, each raises AccessDenied; in a disabled system, SystemDisabled.
"""

from __future__ import annotations

from collections import abc
from typing import Protocol

from keysvc.model import Application, ApplicationType, Field, Flags, Mapping, SecretText
from keysvc.plugin import paging
from keysvc.sso.credentials import Credential
from keysvc.sso.permissions import CallerRights
from keysvc.sso.requests import applications, config_store, credentials, mapping_search, mappings, system, tickets
from keysvc.sso.requests.applications import NO_FLAGS
from keysvc.sso.requests.request import MAXIMUM_PAGE, Answer, Request
from keysvc.sso.status import ServerState
from keysvc.sso.tickets import Ticket

Text = str | SecretText


class Perform(Protocol):
    """What carries out requests in the name of whoever calls."""

    def __call__(self, request: Request[Answer], /) -> Answer:
        """Return the answer, or raise what the request raises."""


class Calls:
    """The calls of an SSO server, embedded or through an agent."""

    def perform(self, request: Request[Answer], /) -> Answer:
        """Carry out any request in the caller's name. Raises AccessDenied, and as the request does."""
        raise NotImplementedError

    def credential(self, application: str, *, user: str, fresh: bool = False) -> Credential:
        """Look up the credential of `user` for `application`; in a group application, that of the first of its accounts
        that `user` belongs to.

        What this SSO server stored is seen at once, what others changed within one poll interval; while the mapping
        store cannot be reached, what was read in the last hour (credential_cache_minutes) is answered from memory.
        `fresh` asks the mapping store in any case: do so when the application was refused a sign-on.

        Raises NotFound, AccessDenied (application or mapping disabled), CannotDecrypt, MappingStoreUnavailable, and
        MasterSecretServerUnavailable only when the version that it needs was never fetched.
        """
        return self.perform(credentials.LookUpCredential(application, user, fresh))

    def lookup(self, application: str, *, external_user: str, password: Text | None = None) -> Credential:
        """Look up a credential by the user id that the application knows, for a host that signs its user on here.

        An application that validates passwords demands `password`, which the user gave to the host: it is compared with
        the stored one, in the first masked field, before anything is given out. Raises as `credential`; Conflict when
        several users share the external user; AccessDenied when the application does not allow it, or the password is
        not the right one. Never from memory.
        """
        secret = None if password is None else _secret(password)
        return self.perform(credentials.LookUpByExternalUser(application, external_user, secret))

    def set_credential(
        self,
        application: str,
        fields: abc.Mapping[str, Text] | None = None,
        /,
        *,
        user: str,
        external_user: str | None = None,
        expected_revision: int | None = None,
        **named: Text,
    ) -> int:
        """Encrypt and store a credential; replaces all its fields. Returns the version that encrypted it.

        Give the fields as a mapping of label to value, by name, or both; labels are matched without regard to case.
        `external_user` makes the mapping, enabled, when there is none, and changes it when it differs. With
        `expected_revision`, of the credential that was read before, or 0 for none, raises Changed when it is another by
        now. Raises NotFound, InvalidInput, MasterSecretServerUnavailable, MappingStoreUnavailable.
        """
        values = _secrets({**(fields or {}), **named})
        return self.perform(credentials.SetCredential(application, user, values, external_user, expected_revision))

    def change_credential(
        self,
        application: str,
        fields: abc.Mapping[str, Text] | None = None,
        /,
        *,
        user: str,
        external_user: str | None = None,
        **named: Text,
    ) -> int:
        """As `set_credential`, but fields that are not given keep their values. Raises CannotDecrypt when these cannot
        be read, and stores nothing then."""
        values = _secrets({**(fields or {}), **named})
        return self.perform(credentials.ChangeCredential(application, user, values, external_user))

    def delete_credential(self, application: str, *, user: str) -> None:
        """Raises NotFound."""
        self.perform(credentials.DeleteCredential(application, user))

    def ticket(self, *, user: str | None = None) -> Ticket:
        """A ticket for `user`, or for the caller itself: whoever has it may trade it once, within two minutes unless
        the system or the application says otherwise, for the user's credential. It works while the master secret
        server is down. Raises AccessDenied when no application takes tickets."""
        return self.perform(tickets.IssueTicket(user))

    def redeem(self, application: str, ticket: Text, *, sender: str | None = None) -> Credential:
        """Trade a ticket for its user's credential. `sender` is whom the ticket came from, and must be its user; an
        application that validates tickets demands it. Raises AccessDenied for a ticket that was changed, used or has
        ended, and as `credential`; a ticket that was refused is not used up."""
        return self.perform(tickets.RedeemTicket(application, _secret(ticket), sender))

    def set_config_info(self, application: str, properties: abc.Mapping[str, Text], /, *, name: str) -> int:
        """Encrypt and store the property bag `name`, in place of all its properties, in an application of the type
        config-store. Returns the version that encrypted it. Raises as `set_credential`."""
        return self.perform(config_store.SetConfigInfo(application, name, _secrets(properties)))

    def get_config_info(self, application: str, *, name: str, fresh: bool = False) -> abc.Mapping[str, SecretText]:
        """The properties of a bag by label. Raises and is kept in memory as `credential`."""
        return self.perform(config_store.GetConfigInfo(application, name, fresh))

    def delete_config_info(self, application: str, *, name: str) -> None:
        """The whole bag. Raises NotFound."""
        self.perform(config_store.DeleteConfigInfo(application, name))

    def purge_cache(self, application: str | None = None) -> int:
        """Forget the credentials of an application, or all, that are kept in memory. Returns how many there were."""
        return self.perform(credentials.PurgeCache(application))

    def application(self, name: str) -> Application:
        """Its definition. Raises NotFound."""
        return self.perform(applications.GetApplication(name))

    def applications(self, *, after: str = "", limit: int = 500) -> abc.Sequence[Application]:
        """A page by name, beginning behind `after`, of those that the caller has a role in."""
        return self.perform(applications.ListApplications(after, limit))

    def mappings(self, application: str, *, after: str = "", limit: int = 500) -> abc.Sequence[Mapping]:
        """A page by user, beginning behind `after`, of those that the caller may see. Raises NotFound."""
        return self.perform(mappings.ListMappings(application, after, limit))

    def status(self) -> ServerState:
        """What this SSO server knows; asks nobody."""
        return self.perform(system.GetStatus())

    def rights(self, application: str | None = None) -> CallerRights:
        """What the caller may do in the system, or in one application. Raises AuthorizerUnavailable."""
        return self.perform(system.GetRights(application))

    @property
    def administration(self) -> AdministrationCalls:
        """Applications and mappings; the roles of the caller say what it may change."""
        return AdministrationCalls(self.perform)


class AdministrationCalls:
    """What is done to applications and mappings. Nothing here touches the master secret."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform

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
        """`fields[0]` is the external user id. The same again is answered with what is there. Raises Conflict when the
        name is taken, InvalidInput."""
        request = applications.CreateApplication(
            name,
            tuple(fields),
            type_,
            flags,
            description,
            contact,
            tuple(user_accounts),
            tuple(administrator_accounts),
            ticket_timeout_minutes,
        )
        return self._perform(request)

    def application(self, name: str) -> Application:
        """Raises NotFound."""
        return self._perform(applications.GetApplication(name))

    def change_application(
        self,
        name: str,
        *,
        flags: abc.Mapping[str, bool] | None = None,
        description: str | None = None,
        contact: str | None = None,
        user_accounts: abc.Iterable[str] | None = None,
        administrator_accounts: abc.Iterable[str] | None = None,
        ticket_timeout_minutes: int | None = None,
    ) -> Application:
        """Replace what is given; `flags` by their names in `Flags`; a ticket time-out of 0 is the system's again.

        Raises NotFound, Conflict, and InvalidInput for what never changes: its name, type and fields, and that its
        administrators are the affiliate administrators.
        """
        request = applications.ChangeApplication(
            name,
            None if flags is None else dict(flags),
            description,
            contact,
            None if user_accounts is None else tuple(user_accounts),
            None if administrator_accounts is None else tuple(administrator_accounts),
            ticket_timeout_minutes,
        )
        return self._perform(request)

    def enable_application(self, name: str, enabled: bool) -> None:
        """Raises NotFound, Conflict."""
        self._perform(applications.ChangeApplication(name, {"enabled": enabled}))

    def delete_application(self, name: str) -> None:
        """With its mappings and credentials. Raises NotFound."""
        self._perform(applications.DeleteApplication(name))

    def set_mapping(self, application: str, user: str, external_user: str, *, enable: bool = False) -> Mapping:
        """Create, or change the external user of, a mapping. A new one starts disabled unless `enable`. In a host group
        `user` is its one account, or the external user himself."""
        return self._perform(mappings.SetMapping(application, user, external_user, enable))

    def mapping(self, application: str, user: str) -> Mapping:
        """Raises NotFound."""
        return self._perform(mappings.GetMapping(application, user))

    def mappings(self, application: str) -> abc.Iterator[Mapping]:
        """All of one application that the caller may see, by user."""
        return paging.rows(
            lambda after: self._perform(mappings.ListMappings(application, after, MAXIMUM_PAGE)),
            lambda mapping: mapping.user,
            "",
        )

    def find_mappings(
        self, application: str, *, prefix: str = "", external_user: str = "", enabled: bool | None = None
    ) -> abc.Iterator[Mapping]:
        """Yield the mappings whose user begins with `prefix`, whose external user is `external_user` and that are
        `enabled` or not, by user. What is not given does not matter."""
        after: str | None = ""
        while after is not None:
            request = mapping_search.SearchMappings(application, prefix, external_user, enabled, after, MAXIMUM_PAGE)
            page = self._perform(request)
            yield from page.items
            after = page.next

    def enable_mapping(self, application: str, user: str, enabled: bool) -> None:
        """Raises NotFound, Conflict."""
        self._perform(mappings.EnableMapping(application, user, enabled))

    def enable_all_mappings(self, application: str, enabled: bool) -> int:
        """In pages, so that no commit keeps the lease from being renewed. Returns how many were changed."""
        return self._perform(mappings.EnableAllMappings(application, enabled))

    def delete_mapping(self, application: str, user: str) -> None:
        """With its credential. Raises NotFound."""
        self._perform(mappings.DeleteMapping(application, user))


def _secret(text: Text) -> SecretText:
    return text if isinstance(text, SecretText) else SecretText(text)


def _secrets(values: abc.Mapping[str, Text]) -> dict[str, SecretText]:
    return {label: _secret(value) for label, value in values.items()}
