"""Requests about affiliate applications."""

from __future__ import annotations

import dataclasses
import itertools
import secrets
from collections import abc
from dataclasses import replace
from typing import Annotated, Any, Final

from msgspec import Meta

from keysvc.errors import Conflict, InvalidInput
from keysvc.model import MAXIMUM_FIELDS, Application, ApplicationType, AuditEntry, Field, Flags, names
from keysvc.plugin.changes import DeleteApplication as DeleteRow, PutApplication
from keysvc.sso import spelling
from keysvc.sso.credentials import refuse_local, same_label
from keysvc.sso.permissions import Right
from keysvc.sso.requests.mappings import state
from keysvc.sso.requests.request import After, ApplicationName, Limit, Request
from keysvc.sso.work import Work

MAXIMUM_MINUTES = 525_600
TICKET_FLAGS: Final = frozenset({"allow_tickets", "validate_tickets", "timeout_tickets"})
NO_FLAGS = Flags()
Account = Annotated[str, Meta(min_length=1, max_length=names.MAXIMUM_LENGTH)]
Accounts = Annotated[tuple[Account, ...], Meta(max_length=1000)]


class GetApplication(Request[Application], frozen=True):
    """Its definition."""

    application: ApplicationName

    needs = (Right.SEE_APPLICATION,)

    def act(self, work: Work) -> Application:
        return work.found.definition


class ListApplications(Request[abc.Sequence[Application]], frozen=True):
    """A page by name, of those that the caller has a role in."""

    after: After = ""
    limit: Limit = 100

    def act(self, work: Work) -> abc.Sequence[Application]:
        following = (each for each in work.store.applications() if each.name > self.after)
        return tuple(itertools.islice(work.access.visible(work.caller, following), self.limit))


class CreateApplication(Request[Application], frozen=True):
    """`fields[0]` is the external user id. Flags of tickets, and a time-out of its own, need the right to set these.
    The same again is answered with what is there."""

    application: ApplicationName
    fields: Annotated[tuple[Field, ...], Meta(min_length=1, max_length=MAXIMUM_FIELDS)]
    type: ApplicationType = ApplicationType.INDIVIDUAL
    flags: Flags = NO_FLAGS
    description: str = ""
    contact: str = ""
    user_accounts: Accounts = ()
    administrator_accounts: Accounts = ()
    ticket_timeout_minutes: Annotated[int, Meta(ge=1, le=MAXIMUM_MINUTES)] | None = None

    needs = (Right.CREATE_APPLICATION, Right.SET_TICKETS)

    def rights(self) -> abc.Iterator[Right]:
        """Naming its accounts is part of creating it."""
        yield Right.CREATE_APPLICATION
        if self.ticket_timeout_minutes is not None or _of_tickets(self.flags) != _of_tickets(NO_FLAGS):
            yield Right.SET_TICKETS

    def act(self, work: Work) -> Application:
        application = self._new()
        work.require_enabled()
        try:
            work.commit([PutApplication(application)], work.entry("application.created", application.name))
        except Conflict:
            there = spelling.application(work.store, application.name)
            if (
                there is not None
                and replace(application, application_id=there.application_id, revision=there.revision) == there
            ):
                return there
            name = application.name if there is None else there.name
            raise Conflict(f"the application {name} exists", hint=f"keysvc app show '{name}'") from None
        return work.store.application(application.name) or application

    def _new(self) -> Application:
        names.check("application", self.application)
        if not self.fields:
            raise InvalidInput("an application needs at least the field of the external user id")
        if len(self.fields) > MAXIMUM_FIELDS:
            raise InvalidInput(f"an application has at most {MAXIMUM_FIELDS} fields, not {len(self.fields)}")
        labels = [same_label(field.label) for field in self.fields]
        if len(set(labels)) != len(labels) or not all(labels):
            raise InvalidInput("the labels of the fields must differ by more than case, blanks and hyphens")
        given: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        application = Application(given.pop("application"), secrets.token_hex(16), **given)
        _check_accounts(application)
        return application


class ChangeApplication(Request[Application], frozen=True):
    """What is absent stays. `flags` by their names; `ticket_timeout_minutes` 0 takes the system's.

    Raises InvalidInput for what never changes: its name, type and fields, and that its administrators are the affiliate
    administrators."""

    application: ApplicationName
    flags: dict[str, bool] | None = None
    description: str | None = None
    contact: str | None = None
    user_accounts: Accounts | None = None
    administrator_accounts: Accounts | None = None
    ticket_timeout_minutes: Annotated[int, Meta(ge=0, le=MAXIMUM_MINUTES)] | None = None

    needs = (Right.CHANGE_APPLICATION, Right.SET_TICKETS, Right.NAME_USERS, Right.NAME_ADMINISTRATORS)

    def rights(self) -> abc.Iterator[Right]:
        """To change nothing needs the right to see it."""
        yield Right.SEE_APPLICATION
        if (self.flags or {}).keys() - TICKET_FLAGS or (self.description, self.contact) != (None, None):
            yield Right.CHANGE_APPLICATION
        if (self.flags or {}).keys() & TICKET_FLAGS or self.ticket_timeout_minutes is not None:
            yield Right.SET_TICKETS
        if self.user_accounts is not None:
            yield Right.NAME_USERS
        if self.administrator_accounts is not None:
            yield Right.NAME_ADMINISTRATORS

    def act(self, work: Work) -> Application:
        known = work.found.definition
        changed = self._changed(known)
        if changed == known:
            return known
        work.require_enabled()
        work.commit([PutApplication(changed)], *self._entries(work, known, changed))
        return work.store.application(known.name) or changed

    def _changed(self, known: Application) -> Application:
        flags = self.flags or {}
        if unknown := sorted(flags.keys() - {field.name for field in dataclasses.fields(Flags)}):
            raise InvalidInput(f"an application has no flag {unknown[0]!r}")
        if flags.get("administrators_same", known.flags.administrators_same) != known.flags.administrators_same:
            raise InvalidInput(
                f"whether the administrators of {known.name} are the affiliate administrators (adminAccountSame) was "
                "settled when it was created",
                hint="name others: keysvc app set APP --administrator-account ACCOUNT",
            )
        simple = self.__struct_fields__[2:]
        given: dict[str, Any] = {name: value for name in simple if (value := getattr(self, name)) is not None}
        if "ticket_timeout_minutes" in given:
            given["ticket_timeout_minutes"] = given["ticket_timeout_minutes"] or None
        changed = replace(known, flags=replace(known.flags, **flags), **given)
        _check_accounts(changed, known)
        return changed

    def _entries(self, work: Work, known: Application, changed: Application) -> abc.Iterator[AuditEntry]:
        """To enable it, or to disable it, is an action of its own, whatever else changes with it."""
        enabled = changed.flags.enabled
        if enabled != known.flags.enabled:
            yield work.entry(f"application.{state(enabled)}", known.name)
            known = replace(known, flags=replace(known.flags, enabled=enabled))
        fields = [field.name for field in dataclasses.fields(changed)]
        what = ", ".join(name for name in fields if getattr(changed, name) != getattr(known, name))
        if what:
            yield work.entry("application.changed", known.name, detail={"changed": what})


class DeleteApplication(Request[None], frozen=True):
    """With all its mappings and credentials."""

    application: ApplicationName

    needs = (Right.DELETE_APPLICATION,)

    def act(self, work: Work) -> None:
        name = work.found.definition.name
        work.require_enabled()
        work.commit([DeleteRow(name)], work.entry("application.deleted", name))


def _of_tickets(flags: Flags) -> list[bool]:
    return [getattr(flags, name) for name in sorted(TICKET_FLAGS)]


def _check_accounts(application: Application, before: Application | None = None) -> None:
    known = (*before.user_accounts, *before.administrator_accounts) if before is not None else ()
    for account in (*application.user_accounts, *application.administrator_accounts):
        if account not in known:
            names.check_account("account", account)
        refuse_local(application, account)
    if application.type is ApplicationType.HOST_GROUP and len(application.user_accounts) > 1:
        raise InvalidInput(f"the host group {application.name} has one account for all its external users, not several")
