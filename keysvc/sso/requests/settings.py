"""Requests about the settings of the system that are neither accounts nor levels of the audit."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from msgspec import Meta

from keysvc.model import Settings
from keysvc.plugin.changes import PutSystem
from keysvc.sso.permissions import Right
from keysvc.sso.requests.applications import MAXIMUM_MINUTES
from keysvc.sso.requests.request import Request
from keysvc.sso.work import Work

Minutes = Annotated[int, Meta(ge=1, le=MAXIMUM_MINUTES)]
Rows = Annotated[int, Meta(ge=0, le=2**31 - 1, description="entries of a trail of the audit; 0 is no bound")]


class GetSettings(Request[Settings], frozen=True):
    """All of them."""

    needs = (Right.CHANGE_SETTINGS,)

    def act(self, work: Work) -> Settings:
        return work.found.settings()


class ChangeSettings(Request[Settings], frozen=True):
    """Time-outs and the sizes of the audit's trails; what is absent stays."""

    ticket_timeout_minutes: Minutes | None = None
    credential_cache_minutes: Minutes | None = None
    audit_deleted_applications: Rows | None = None
    audit_deleted_mappings: Rows | None = None
    audit_credential_lookups: Rows | None = None
    audit_changes: Rows | None = None
    audit_members: Rows | None = None

    needs = (Right.CHANGE_SETTINGS,)

    def act(self, work: Work) -> Settings:
        system = work.found.system
        given = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        settings = replace(system.settings, **given)
        changed = [name for name in given if getattr(settings, name) != getattr(system.settings, name)]
        if changed:
            work.require_enabled()
            change = PutSystem(replace(system, settings=settings), instead_of=system.settings)
            detail = {"changed": ", ".join(changed)}
            work.commit([change], work.entry("settings.changed", "system", detail=detail))
        return settings
