"""What authorises requests, reads once, carries them out and records them."""

from __future__ import annotations

import functools
from collections import abc
from typing import Any, Final

from keysvc.errors import AccessDenied
from keysvc.model import Role
from keysvc.plugin.allowance import RateLimit
from keysvc.plugin.audit_chain import AuditKeys
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.authorization import Access
from keysvc.sso.found import Found
from keysvc.sso.lookup_audit import LookupAudit
from keysvc.sso.permissions import TABLE, Principal, Right, Scope, certificate_roles
from keysvc.sso.requests.request import Answer, Request
from keysvc.sso.work import Services, Work

CHANGING: Final = frozenset({Right.CHANGE_MAPPINGS, Right.CHANGE_CREDENTIALS})
"""The rights by which somebody changes what is its own."""
OWN_BURST, OWN_PER_MINUTE = 60, 10
"""How often it may."""


@functools.cache
def certificates_for(kind: type[Request[Any]]) -> tuple[Role, ...]:
    """Return the roles whose certificates by themselves give every right that a request of the kind may need."""
    return tuple(
        role
        for role in Role
        if all(
            any(TABLE[right].of(each) is Scope.YES for each in certificate_roles(Principal("", role)))
            for right in kind.needs
        )
    )


class Performer:
    """What carries out requests, in the name of its own `principal` unless told. Thread-safe."""

    def __init__(
        self,
        principal: Principal,
        store: MappingStore,
        access: Access,
        denials: LookupAudit,
        *,
        keys: abc.Callable[[], AuditKeys | None],
        services: Services | None,
    ) -> None:
        """`denials` is where it is recorded what somebody had no right to."""
        self.principal = principal
        self._store, self._access, self._denials = store, access, denials
        self._keys, self._services = keys, services
        self._own_changes = RateLimit(OWN_BURST, OWN_PER_MINUTE)

    def perform(self, request: Request[Answer], /, *, as_: Principal | None = None) -> Answer:
        """Authorise a request, carry it out and record it in the audit. Raises AccessDenied, AuthorizerUnavailable,
        RateLimited for many changes of one's own, and as the request does."""
        caller, services = as_ or self.principal, self._services
        certified = caller.role in certificates_for(type(request))
        known = None if services is None else request.remembered(services)
        if known is not None and (certified or self._remembers(request, caller)):
            return known
        found, own = Found(self._store, *request.about()), False
        for right in () if certified else request.rights():
            scope = self._require(caller, right, found)
            own = own or (scope is Scope.OWN and right in CHANGING)
        if own:
            self._own_changes.spend(caller.name)
        return request.act(Work(self._store, self._access, caller, found, own, self._keys, services))

    def cached(self, request: Request[Answer], /, *, as_: Principal | None = None) -> Answer | None:
        """Answer from memory, or return None: only if right, settings and credential are remembered and fresh, and no
        audit entry is due. No I/O: an event loop may ask."""
        if self._services is None:
            return None
        caller, known = as_ or self.principal, request.remembered(self._services)
        if known is None or caller.role in certificates_for(type(request)):
            return known
        return known if self._remembers(request, caller) else None

    def _remembers(self, request: Request[Any], caller: Principal) -> bool:
        about = request.about()
        return all(self._access.remembers(caller, right, *about) for right in request.rights())

    def _require(self, caller: Principal, right: Right, found: Found) -> Scope:
        try:
            return self._access.require(caller, right, found)
        except AccessDenied as error:
            self._denials.refused(caller.name, right.value, found.application_name or "*", found.user or "*", error)
            raise
