"""What a request works with: who asks, what was found, and the way to change it."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from keysvc.errors import NotConfigured, SystemDisabled
from keysvc.model import AuditEntry, AuditTrail, Detail, Guard, Role, utc_now
from keysvc.plugin.audit_chain import AuditKeys
from keysvc.plugin.changes import UNGUARDED, AppendAudit, Change, SealAudit
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.entries import of_user
from keysvc.sso.found import Found
from keysvc.sso.permissions import Principal

if TYPE_CHECKING:
    from keysvc.sso.authorization import Access
    from keysvc.sso.credential_cache import CredentialCache
    from keysvc.sso.credential_reader import StoredCredentials
    from keysvc.sso.credential_writer import Storing
    from keysvc.sso.lookup_audit import LookupAudit
    from keysvc.sso.status import ServerState
    from keysvc.sso.tickets import Tickets

NO_DETAIL: Detail = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of an SSO server, which holds the master secret in memory."""

    stored: StoredCredentials
    storing: Storing
    cache: CredentialCache
    lookups: LookupAudit
    tickets: Tickets
    status: abc.Callable[[], ServerState]

    def require_enabled(self) -> None:
        """As the mapping store said at most one poll interval ago. Raises SystemDisabled."""
        if not self.lookups.settings.enabled:
            raise SystemDisabled("the system is disabled: nothing is looked up and nothing is stored")


@dataclass(frozen=True, slots=True)
class Work:
    """For one request. With `own`, the caller changes what is its own, by no other right: it gets no external user
    that another has."""

    store: MappingStore
    access: Access
    caller: Principal
    found: Found
    own: bool
    keys: abc.Callable[[], AuditKeys | None]
    server: Services | None

    @property
    def services(self) -> Services:
        """Raises NotConfigured where the master secret is not at hand."""
        if self.server is None:
            raise NotConfigured("this needs an SSO server", hint="ask through keysvc.connect(), or an agent")
        return self.server

    @property
    def trail(self) -> AuditTrail:
        """Where it is recorded: SSO servers, and those who change their own, cannot push out what was done by a right
        that somebody gave by name."""
        return AuditTrail.MEMBERS if self.own or self.caller.role is Role.SERVER else AuditTrail.CHANGES

    def require_enabled(self, found: Found | None = None) -> None:
        """As was `found` for this request. Raises SystemDisabled."""
        if not (found or self.found).settings().enabled:
            raise SystemDisabled("the system is disabled: nothing is changed")

    def entry(self, action: str, subject: str, user: str | None = None, detail: Detail = NO_DETAIL) -> AuditEntry:
        """Return an audit entry about an application, or about one user of it."""
        if user is not None:
            return of_user(self.caller.name, action, subject, user, detail, trail=self.trail)
        return AuditEntry(utc_now(), self.caller.name, action, subject, detail, trail=self.trail)

    def recorded(self, *entries: AuditEntry) -> abc.Iterator[Change]:
        """Yield what appends the entries, and seals their trails."""
        yield from map(AppendAudit, entries)
        keys = self.keys()
        if keys is not None:
            yield from (SealAudit(trail, keys) for trail in dict.fromkeys(entry.trail for entry in entries))

    def commit(self, changes: abc.Iterable[Change], *entries: AuditEntry, guard: Guard = UNGUARDED) -> None:
        """Commit the changes with their audit entries; memory forgets the application of the request."""
        memory = None if self.server is None or self.found.application_name is None else self.server.cache
        try:
            self.store.commit([*changes, *self.recorded(*entries)], guard)
        except BaseException:  # the answer to the commit may have been lost
            if memory is not None:
                memory.expire(self.found.application_name or "")
            raise
        if memory is not None:
            memory.forget(self.found.application_name)
