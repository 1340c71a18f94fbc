"""What SSO administrators do to applications and mappings. Nothing here touches the master secret."""

from __future__ import annotations

import dataclasses
import itertools
import secrets
from collections import abc
from dataclasses import replace
from types import MappingProxyType

from keysvc import names
from keysvc.errors import Conflict, InvalidInput, NotConfigured, NotFound, SystemDisabled
from keysvc.model import (
    MAXIMUM_FIELDS,
    Application,
    ApplicationType,
    AuditEntry,
    AuditTrail,
    Detail,
    Field,
    Flags,
    Mapping,
    Settings,
    utc_now,
)
from keysvc.plugin.audit_chain import AuditKeys
from keysvc.plugin.changes import (
    UNGUARDED,
    AppendAudit,
    Change,
    DeleteApplication,
    DeleteMapping,
    PutApplication,
    PutMapping,
    PutSystem,
    SealAudit,
)
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.credential_writer import claimed
from keysvc.sso.credentials import check_new, refuse_local, same_label
from keysvc.sso.entries import detail_of, subject_of
from keysvc.sso.permissions import accounts_in

PAGE = 500
NO_FLAGS = Flags()
NO_CHANGE: abc.Mapping[str, bool] = MappingProxyType({})


class Administration:
    """Every change is one commit with its audit entry, which is sealed where there are `keys`. `changed` is told of
    which application something was changed."""

    def __init__(
        self,
        store: MappingStore,
        actor: str,
        *,
        keys: abc.Callable[[], AuditKeys | None] = lambda: None,
        changed: abc.Callable[[str], object] = lambda _application: None,
        own: bool = False,
        trail: AuditTrail = AuditTrail.CHANGES,
    ) -> None:
        """`own` is somebody who changes what is its own: it gets no external user that another has. `trail` is where
        it is recorded."""
        if store.system() is None:
            raise NotConfigured(f"the mapping store {store.info().url} holds no system")
        self.store = store
        self.actor = actor
        self._keys = keys
        self._changed = changed
        self._own, self._trail = own, trail

    # -- applications ----------------------------------------------------------------------------------------------

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
        """`fields[0]` is the external user id. Raises Conflict when the name is taken, InvalidInput."""
        names.check("application", name)
        if not fields:
            raise InvalidInput("an application needs at least the field of the external user id")
        if len(fields) > MAXIMUM_FIELDS:
            raise InvalidInput(f"an application has at most {MAXIMUM_FIELDS} fields, not {len(fields)}")
        labels = [same_label(field.label) for field in fields]
        if len(set(labels)) != len(labels) or not all(labels):
            raise InvalidInput("the labels of the fields must differ by more than case, blanks and hyphens")
        application = Application(
            name,
            secrets.token_hex(16),
            type_,
            tuple(fields),
            flags,
            description=description,
            contact=contact,
            user_accounts=tuple(user_accounts),
            administrator_accounts=tuple(administrator_accounts),
            ticket_timeout_minutes=ticket_timeout_minutes,
        )
        _check_accounts(application)
        try:
            self._commit("application.created", name, [PutApplication(application)])
        except Conflict:
            raise Conflict(f"the application {name} exists", hint=f"keysvc app show '{name}'") from None
        return application

    def application(self, name: str) -> Application:
        """Raises NotFound."""
        application = self.store.application(name)
        if application is None:
            near = next((each.name for each in self.store.applications() if names.same(each.name, name)), None)
            exists = "" if near is None else f": {near} exists"
            raise NotFound(f"there is no application {name}{exists}", hint="keysvc app list")
        return application

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
        """Replace what is given; `flags` by their names in `Flags`; a ticket time-out of 0 is the system's again.

        Raises NotFound, Conflict, and InvalidInput for what never changes: its name, type and fields, and that its
        administrators are the affiliate administrators.
        """
        known = self.application(name)
        if unknown := sorted(flags.keys() - {field.name for field in dataclasses.fields(Flags)}):
            raise InvalidInput(f"an application has no flag {unknown[0]!r}")
        if flags.get("administrators_same", known.flags.administrators_same) != known.flags.administrators_same:
            raise InvalidInput(
                f"whether the administrators of {name} are the affiliate administrators (adminAccountSame) was settled "
                "when it was created",
                hint="name others: keysvc app set APP --administrator-account ACCOUNT",
            )
        given = {
            "description": description,
            "contact": contact,
            "user_accounts": None if user_accounts is None else tuple(user_accounts),
            "administrator_accounts": None if administrator_accounts is None else tuple(administrator_accounts),
        }
        changed = replace(
            known,
            flags=replace(known.flags, **flags),
            ticket_timeout_minutes=known.ticket_timeout_minutes
            if ticket_timeout_minutes is None
            else ticket_timeout_minutes or None,
            **{what: value for what, value in given.items() if value is not None},  # type: ignore[arg-type]
        )
        _check_accounts(changed, known)
        if changed != known:
            names = [field.name for field in dataclasses.fields(changed)]
            what = ", ".join(name for name in names if getattr(changed, name) != getattr(known, name))
            self._commit("application.changed", name, [PutApplication(changed)], {"changed": what})
        return changed

    def enable_application(self, name: str, enabled: bool) -> None:
        """Raises NotFound, Conflict."""
        application = self.application(name)
        if application.flags.enabled != enabled:
            changed = replace(application, flags=replace(application.flags, enabled=enabled))
            self._commit(f"application.{_state(enabled)}", name, [PutApplication(changed)])

    def delete_application(self, name: str) -> None:
        """With its mappings and credentials. Raises NotFound."""
        self.application(name)
        self._commit("application.deleted", name, [DeleteApplication(name)])

    # -- mappings --------------------------------------------------------------------------------------------------

    def set_mapping(self, application: str, user: str, external_user: str, *, enable: bool = False) -> Mapping:
        """Create, or change the external user of, a mapping. A new one starts disabled unless `enable`. In a host group
        `user` is its one account, or the external user himself."""
        definition = self.application(application)
        user = _mapped(definition, user, external_user)
        known = self.store.mapping(application, user)
        check_new(definition, user, external_user, known)
        mapping = Mapping(
            application,
            user,
            external_user,
            enabled=enable or (known is not None and known.enabled),
            revision=known.revision if known else 0,
        )
        self._commit_of(mapping, "mapping.set", [*([claimed(mapping)] if self._own else []), PutMapping(mapping)])
        return mapping

    def mapping(self, application: str, user: str) -> Mapping:
        """Raises NotFound."""
        mapping = self.store.mapping(application, user)
        if mapping is None:
            self.application(application)
            near = next((each.user for each in self.mappings(application) if names.same(each.user, user)), None)
            exists = "" if near is None else f": {near} exists"
            raise NotFound(
                f"{user} has no mapping for {application}{exists}", hint=f"keysvc mapping list '{application}'"
            )
        return mapping

    def mappings(self, application: str) -> abc.Iterator[Mapping]:
        """All of one application, by user."""
        self.application(application)
        after = ""
        while page := self.store.mappings(application, after=after, limit=PAGE):
            yield from page
            after = page[-1].user

    def enable_mapping(self, application: str, user: str, enabled: bool) -> None:
        """Raises NotFound, Conflict."""
        mapping = self.mapping(application, user)
        if mapping.enabled != enabled:
            changed = replace(mapping, enabled=enabled)
            claims = [claimed(mapping)] if self._own and enabled else []
            self._commit_of(mapping, f"mapping.{_state(enabled)}", [*claims, PutMapping(changed)])

    def enable_all_mappings(self, application: str, enabled: bool) -> int:
        """In pages, so that no commit keeps the lease from being renewed. Returns how many were changed."""
        changed = 0
        pending = (mapping for mapping in self.mappings(application) if mapping.enabled != enabled)
        while page := [PutMapping(replace(mapping, enabled=enabled)) for mapping in itertools.islice(pending, PAGE)]:
            self._commit(f"mapping.all-{_state(enabled)}", application, page)
            changed += len(page)
        return changed

    def delete_mapping(self, application: str, user: str) -> None:
        """With its credential. Raises NotFound."""
        mapping = self.mapping(application, user)
        self._commit_of(mapping, "mapping.deleted", [DeleteMapping(application, user)])

    # -- settings --------------------------------------------------------------------------------------------------

    def audit_levels(self, positive: int | None, negative: int | None) -> Settings:
        """Set the levels that are given, 0 to 3. Returns the settings. Raises InvalidInput."""
        system = self.store.system()
        if system is None:
            raise NotConfigured(f"the mapping store {self.store.info().url} holds no system")
        given = {"audit_positive_level": positive, "audit_negative_level": negative}
        levels = {name: level for name, level in given.items() if level is not None}
        if any(not 0 <= level <= 3 for level in levels.values()):
            raise InvalidInput("a level of the audit is 0, 1, 2 or 3")
        settings = replace(system.settings, **levels)  # type: ignore[arg-type]  # all of them are numbers
        if settings != system.settings:
            levels_now = f"positive {settings.audit_positive_level}, negative {settings.audit_negative_level}"
            # also in a disabled system: who looks for the reason may want more of it recorded
            changes = [PutSystem(replace(system, settings=settings), instead_of=system.settings)]
            self._commit("audit.level-set", levels_now, changes, even_disabled=True)
        return settings

    def name_system_administrators(
        self, *, administrators: abc.Sequence[str] | None = None, affiliate: abc.Sequence[str] | None = None
    ) -> Settings:
        """The accounts of the SSO administrators and of the affiliate administrators; None leaves them. Raises
        InvalidInput, Conflict."""
        system = self.store.system()
        if system is None:
            raise NotConfigured(f"the mapping store {self.store.info().url} holds no system")
        given = {"administrators": administrators, "affiliate_administrators": affiliate}
        before = {*accounts_in(system.settings.administrators), *accounts_in(system.settings.affiliate_administrators)}
        for account in (*(administrators or ()), *(affiliate or ())):
            if account not in before:
                names.check_account("account", account)
        named = {name: ";".join(accounts) for name, accounts in given.items() if accounts is not None}
        settings = replace(system.settings, **named)  # type: ignore[arg-type]  # both are texts
        if settings != system.settings:
            # also in a disabled system: Enterprise SSO's order of work is disable, change, enable
            changes = [PutSystem(replace(system, settings=settings), instead_of=system.settings)]
            self._commit("settings.administrators-named", "system", changes, even_disabled=True)
        return settings

    def _commit_of(self, mapping: Mapping, action: str, changes: abc.Sequence[Change]) -> None:
        about = mapping.application, mapping.user
        self._commit(action, subject_of(*about), changes, detail_of(*about))

    def _commit(
        self,
        action: str,
        subject: str,
        changes: abc.Sequence[Change],
        detail: Detail = MappingProxyType({}),
        *,
        even_disabled: bool = False,
    ) -> None:
        system = self.store.system()
        if system is not None and not system.settings.enabled and not even_disabled:
            raise SystemDisabled("the system is disabled: nothing is changed")
        entry, keys = AuditEntry(utc_now(), self.actor, action, subject, detail, trail=self._trail), self._keys()
        seal = [] if keys is None else [SealAudit(entry.trail, keys)]
        try:
            self.store.commit([*changes, AppendAudit(entry), *seal], UNGUARDED)
        finally:  # also when the answer to the commit was lost
            for change in changes:
                match change:
                    case PutApplication(Application(name=name)) | PutMapping(Mapping(application=name)):
                        self._changed(name)
                    case DeleteApplication(name) | DeleteMapping(name):
                        self._changed(name)


def _state(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"


def _mapped(application: Application, user: str, external_user: str) -> str:
    """Whose mapping it is. Raises InvalidInput."""
    if application.type is ApplicationType.HOST_GROUP:
        if names.key(user) not in names.keys((external_user, application.host_account or "")):
            raise InvalidInput(
                f"in the host group {application.name} an external user is mapped to its one account, "
                f"{application.host_account or 'which it lacks'}, and not to {user}"
            )
        return external_user
    refuse_local(application, user)
    return user


def _check_accounts(application: Application, before: Application | None = None) -> None:
    known = (*before.user_accounts, *before.administrator_accounts) if before is not None else ()
    for account in (*application.user_accounts, *application.administrator_accounts):
        if account not in known:
            names.check_account("account", account)
        refuse_local(application, account)
    if application.type is ApplicationType.HOST_GROUP and len(application.user_accounts) > 1:
        raise InvalidInput(f"the host group {application.name} has one account for all its external users, not several")
