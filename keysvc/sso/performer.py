"""Carries out requests: authorises, reads once, acts, and records."""

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
    """Thread-safe. What is denied is recorded in the audit of look-ups."""

    def __init__(
        self,
        store: MappingStore,
        access: Access,
        denials: LookupAudit,
        *,
        keys: abc.Callable[[], AuditKeys | None],
        forget: abc.Callable[[str, str | None], object],
        services: Services | None,
    ) -> None:
        self._store, self._access, self._denials = store, access, denials
        self._keys, self._forget, self._services = keys, forget, services
        self._own_changes = RateLimit(OWN_BURST, OWN_PER_MINUTE)

    def perform(self, request: Request[Answer], caller: Principal) -> Answer:
        """Raises AccessDenied, AuthorizerUnavailable, RateLimited, and as the request does."""
        known = self.cached(request, caller)
        if known is not None:
            return known
        found = Found(self._store, *request.about())
        own = False
        for right in request.rights():
            scope = self._require(caller, right, found)
            own = own or (scope is Scope.OWN and right in CHANGING)
        if own:
            self._own_changes.spend(caller.name)
        return request.act(
            Work(self._store, self._access, caller, found, own, self._keys, self._forget, self._services)
        )

    def cached(self, request: Request[Answer], caller: Principal) -> Answer | None:
        """Answer from memory, or return None: only if right, settings and credential are remembered and fresh, and no
        audit entry is due. No I/O."""
        if self._services is None:
            return None
        answer = request.remembered(self._services)
        if answer is None or caller.role in certificates_for(type(request)):
            return answer
        about = request.about()
        allowed = all(self._access.remembers(caller, right, *about) for right in request.rights())
        return answer if allowed else None

    def _require(self, caller: Principal, right: Right, found: Found) -> Scope:
        try:
            return self._access.require(caller, right, found)
        except AccessDenied as error:
            self._denials.refused(caller.name, right.value, found.application_name or "*", found.user or "*", error)
            raise
