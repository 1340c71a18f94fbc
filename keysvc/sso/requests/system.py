"""Requests about the system: what this SSO server knows, and the settings that an SSO administrator changes."""

from __future__ import annotations

from dataclasses import replace

from keysvc.errors import InvalidInput
from keysvc.model import Settings, accounts_in, names
from keysvc.plugin.changes import PutSystem
from keysvc.sso.permissions import CallerRights, Right
from keysvc.sso.requests.request import ApplicationName, Request
from keysvc.sso.status import ServerState
from keysvc.sso.work import Services, Work


class GetStatus(Request[ServerState], frozen=True):
    """What this SSO server knows; it asks nobody."""

    def act(self, work: Work) -> ServerState:
        return work.services.status()

    def remembered(self, services: Services) -> ServerState:
        return services.status()


class GetRights(Request[CallerRights], frozen=True):
    """What the caller may do in the system, or in one application."""

    application: ApplicationName | None = None

    def act(self, work: Work) -> CallerRights:
        return CallerRights.of(work.caller, work.access.roles(work.caller, self.application))


class SetAuditLevels(Request[Settings], frozen=True):
    """The levels that are given, 0 to 3. Also in a disabled system: who looks for the reason may want more of it
    recorded."""

    positive: int | None = None
    negative: int | None = None

    needs = (Right.CHANGE_SETTINGS,)

    def act(self, work: Work) -> Settings:
        system = work.found.system
        given = {"audit_positive_level": self.positive, "audit_negative_level": self.negative}
        levels = {name: level for name, level in given.items() if level is not None}
        if any(not 0 <= level <= 3 for level in levels.values()):
            raise InvalidInput("a level of the audit is 0, 1, 2 or 3")
        settings = replace(system.settings, **levels)  # type: ignore[arg-type]  # all of them are numbers
        if settings != system.settings:
            now = f"positive {settings.audit_positive_level}, negative {settings.audit_negative_level}"
            change = PutSystem(replace(system, settings=settings), instead_of=system.settings)
            work.commit([change], work.entry("audit.level-set", now))
        return settings


class NameSystemAdministrators(Request[Settings], frozen=True):
    """The accounts of the SSO administrators and of the affiliate administrators; None leaves them."""

    administrators: tuple[str, ...] | None = None
    affiliate: tuple[str, ...] | None = None

    needs = (Right.CHANGE_SETTINGS,)

    def act(self, work: Work) -> Settings:
        system = work.found.system
        before = {*accounts_in(system.settings.administrators), *accounts_in(system.settings.affiliate_administrators)}
        for account in (*(self.administrators or ()), *(self.affiliate or ())):
            if account not in before:
                names.check_account("account", account)
        given = {"administrators": self.administrators, "affiliate_administrators": self.affiliate}
        named = {name: ";".join(accounts) for name, accounts in given.items() if accounts is not None}
        settings = replace(system.settings, **named)  # type: ignore[arg-type]  # both are texts
        if settings != system.settings:  # also in a disabled system: the vendor's order is disable, change, enable
            change = PutSystem(replace(system, settings=settings), instead_of=system.settings)
            work.commit([change], work.entry("settings.administrators-named", "system"))
        return settings
