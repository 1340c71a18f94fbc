"""What SSO administrators do to applications, mappings and settings with no more than the mapping store."""

from __future__ import annotations

from collections import abc

from keysvc.errors import NotConfigured
from keysvc.model import Role, Settings
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.authorization import Access
from keysvc.sso.calls import AdministrationCalls
from keysvc.sso.lookup_audit import LookupAudit
from keysvc.sso.performer import Performer
from keysvc.sso.permissions import Principal
from keysvc.sso.requests import system


class Administration(Performer, AdministrationCalls):
    """The calls of `SSO.administration`, and those about the whole system. There is no master secret here: the master
    secret server seals the audit entries."""

    def __init__(self, store: MappingStore, actor: str, role: Role = Role.ADMINISTRATOR) -> None:
        """`actor` and `role` are those of a certificate that the caller verified. Raises NotConfigured."""
        record = store.system()
        if record is None:
            raise NotConfigured(f"the mapping store {store.info().url} holds no system")
        self.store, self.actor = store, actor
        Performer.__init__(
            self,
            Principal(actor, role),
            store,
            Access(store, lambda: 0.0),
            LookupAudit(store, record, lambda: None, lambda: 0.0),
            keys=lambda: None,
            services=None,
        )
        AdministrationCalls.__init__(self, self.perform)

    def audit_levels(self, positive: int | None, negative: int | None) -> Settings:
        """Set the levels that are given, 0 to 3. Returns the settings. Raises InvalidInput."""
        return self.perform(system.SetAuditLevels(positive, negative))

    def name_system_administrators(
        self, *, administrators: abc.Sequence[str] | None = None, affiliate: abc.Sequence[str] | None = None
    ) -> Settings:
        """The accounts of the SSO administrators and of the affiliate administrators; None leaves them. Raises
        InvalidInput, Conflict."""
        named = [None if accounts is None else tuple(accounts) for accounts in (administrators, affiliate)]
        return self.perform(system.NameSystemAdministrators(*named))
