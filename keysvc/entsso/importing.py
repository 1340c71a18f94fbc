"""Brings Enterprise SSO's files into a mapping store: any number of them in one commit, all of it or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections import Counter, abc
from dataclasses import asdict, dataclass, field, replace

from keysvc.entsso.definitions import ApplicationDefinition, MappingDefinition, SettingsDefinition
from keysvc.entsso.document import fault, shown
from keysvc.entsso.reading import KINDS, Definitions, read
from keysvc.errors import Conflict, InvalidInput, KeysvcError, NotConfigured, NotFound, SystemDisabled
from keysvc.model import (
    Application,
    ApplicationType,
    AuditEntry,
    Flags,
    Mapping,
    NameRule,
    SystemRecord,
    accounts_in,
    check_new_mapping,
    names,
    utc_now,
)
from keysvc.plugin import paging
from keysvc.plugin.changes import UNGUARDED, AppendAudit, Change, DeleteMapping, PutApplication, PutMapping, PutSystem
from keysvc.plugin.interfaces import MappingStore

ATTEMPTS = 5
PAGES_FROM = 200
"""So many mappings of one application are looked for in pages of all that it has, fewer one by one."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the entries of a file."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read from a disk. With `deletes`, its mappings are to go."""

    name: str
    content: bytes
    deletes: bool = False


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What a file held, and what became of it."""

    name: str
    holds: str
    imported: Imported


def import_files(
    store: MappingStore,
    files: abc.Sequence[SourceFile],
    *,
    actor: str,
    enable: bool = False,
    kinds: abc.Collection[str] = KINDS,
    dry_run: bool = False,
) -> abc.Sequence[ImportedFile]:
    """Settings first, then applications, mappings, and the mappings that are to go, whatever the order of the files.

    Applications and mappings that are new are created, mappings disabled unless `enable`; the others are updated.
    Deleting takes the credential too, whatever the external user is by now; a mapping that is not there counts as
    unchanged. With `dry_run` nothing is written. Raises NotConfigured; InvalidInput: then nothing has changed.
    """
    sources: list[tuple[SourceFile, Definitions]] = []
    faults: list[KeysvcError] = []
    for file in files:
        try:
            sources.append((file, read(file.content, file.name, ("mapping",) if file.deletes else kinds)))
        except InvalidInput as fault:
            faults.append(fault)
    if faults:
        raise InvalidInput.of_all(faults)
    sources.sort(key=lambda source: (source[0].deletes, KINDS_IN_ORDER.index(_kind(source[1])), source[0].name))

    def attempt() -> abc.Sequence[ImportedFile]:
        plan = _Plan(store, enable)
        done = [ImportedFile(file.name, _HOLDS[_kind(held)], plan.add(file, held)) for file, held in sources]
        if not dry_run:
            entries = [_entry(actor, file, each) for (file, _held), each in zip(sources, done, strict=True)]
            store.commit([*plan.changes(), *entries], UNGUARDED)
        return done

    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Conflict, NotFound):  # others changed the same rows meanwhile: plan again
            return attempt()
    return attempt()


KINDS_IN_ORDER = ("globalinfo", "application", "mapping")
_HOLDS = {"globalinfo": "settings", "application": "applications", "mapping": "mappings"}
_ACTIONS = {
    "settings": "settings.imported",
    "applications": "application.imported",
    "mappings": "mapping.imported",
}


def _kind(held: Definitions) -> str:
    if held.settings is not None:
        return "globalinfo"
    return "application" if held.applications else "mapping"


def _entry(actor: str, file: SourceFile, done: ImportedFile) -> AppendAudit:
    action = "mapping.import-deleted" if file.deletes else _ACTIONS[done.holds]
    detail = {**asdict(done.imported), "sha256": hashlib.sha256(file.content).hexdigest()}
    return AppendAudit(AuditEntry(utc_now(), actor, action, file.name[-256:], detail))  # of a long path, the end


@dataclass(slots=True)
class _Mappings:
    """Of one application, by the key of the user: as they are, as they will be, and where a file says so."""

    known: dict[str, Mapping | None] = field(default_factory=dict)
    planned: dict[str, Mapping | None] = field(default_factory=dict)
    places: dict[str, tuple[str, int]] = field(default_factory=dict)


class _Plan:
    """What the files come to, upon what the mapping store has. Names are compared by their keys."""

    def __init__(self, store: MappingStore, enable: bool) -> None:
        self._store = store
        self._enable = enable
        self._system_before = system = store.system()
        self._rule = NameRule.EXACT if system is None else system.settings.names
        self._key = self._rule.key
        self._known: dict[str, Application] = {}
        for application in store.applications():  # of two whose spellings differ in their form alone, the last
            self._known[self._key(application.name)] = application
        self._applications = dict(self._known)
        self._mappings: dict[str, _Mappings] = {}
        self._system: SystemRecord | None = None

    def add(self, file: SourceFile, held: Definitions) -> Imported:
        """What becomes of the entries of one file. Raises InvalidInput."""
        if held.settings is not None:  # also in a disabled system: its administrators are changed while it stands still
            return self._add_settings(held.settings, file.name)
        if self._system_before is not None and not self._system_before.settings.enabled:
            raise SystemDisabled("the system is disabled: nothing but settings is imported")
        if held.applications:
            lines: dict[str, int] = {}
            return Imported(**Counter(self._add_application(each, file.name, lines) for each in held.applications))
        self._look_up(held.mappings, file.name)
        seen: dict[tuple[str, str], int] = {}
        add = self._delete_mapping if file.deletes else self._add_mapping
        return Imported(**Counter(add(each, file.name, seen) for each in held.mappings))

    def changes(self) -> abc.Iterator[Change]:
        """In an order that a commit can follow."""
        if self._system is not None and self._system_before is not None:
            yield PutSystem(self._system, instead_of=self._system_before.settings)
        for name, application in self._applications.items():
            if application != self._known.get(name):
                yield PutApplication(application)
        for of in self._mappings.values():
            for user, mapping in of.planned.items():
                if mapping is not None and mapping != of.known.get(user):
                    yield PutMapping(mapping)
        for of in self._mappings.values():
            for user, mapping in of.planned.items():
                if mapping is None and (known := of.known.get(user)) is not None:
                    yield DeleteMapping(known.application, known.user)

    def _add_settings(self, definition: SettingsDefinition, source: str) -> Imported:
        system = self._system or self._system_before
        if system is None:
            raise NotConfigured(f"the mapping store {self._store.info().url} holds no system")
        there = {*accounts_in(system.settings.administrators), *accounts_in(system.settings.affiliate_administrators)}
        with _at(source, definition.line):
            for setting in ("administrators", "affiliate_administrators"):
                for account in accounts_in(str(definition.given.get(setting, ""))):
                    if account not in there:
                        names.check_account("account", account)
        # replace() cannot know that every value is of its setting's type; the reader made sure of it
        changed = replace(system, settings=replace(system.settings, **definition.given))  # type: ignore[arg-type]
        if changed == system:
            return Imported(unchanged=1)
        self._system = changed
        return Imported(updated=1)

    def _add_application(self, definition: ApplicationDefinition, source: str, lines: dict[str, int]) -> str:
        key = self._key(definition.name)
        if key in lines:
            raise fault(source, definition.line, f"{shown(definition.name)} is there already, on line {lines[key]}")
        lines[key] = definition.line
        known = self._applications.get(key)
        application = _new(definition, source) if known is None else _changed(known, definition, source)
        there = () if known is None else (*known.user_accounts, *known.administrator_accounts)
        with _at(source, definition.line):
            if known is None:
                names.check("application", application.name)
            for account in (*application.user_accounts, *application.administrator_accounts):
                if account not in there:
                    names.check_account("account", account)
        for account in (*application.user_accounts, *application.administrator_accounts):
            _refuse_local(application, account, source, definition.line)
        self._applications[key] = application
        return _counter(known, application)

    def _look_up(self, definitions: abc.Sequence[MappingDefinition], source: str) -> None:
        """Their applications, and the mappings that are there already."""
        wanted: dict[str, set[str]] = {}
        for definition in definitions:
            application = self._applications.get(self._key(definition.application))
            if application is None:
                exists = (each.name for each in self._applications.values())
                near = _near(definition.application, exists)
                error = fault(source, definition.line, f"there is no application {shown(definition.application)}{near}")
                raise InvalidInput(str(error), hint="create it first: keysvc app import FILE, or keysvc app create")
            wanted.setdefault(application.name, set()).add(_user(application, definition, source))
        for name, users in wanted.items():
            of = self._mappings.setdefault(name, _Mappings())
            missing = {user for user in users if self._key(user) not in of.known}
            if self._key(name) in self._known:
                found = (
                    paging.mappings(self._store, name)
                    if len(missing) >= PAGES_FROM
                    else self._one_by_one(name, missing)
                )
                of.known.update((self._key(mapping.user), mapping) for mapping in found)
            for user in missing:
                of.known.setdefault(self._key(user))

    def _one_by_one(self, application: str, users: abc.Iterable[str]) -> abc.Iterator[Mapping]:
        """What is mapped under the keys of these users; last, under their spellings."""
        exact = list(users)
        other = self._store.spellings([names.key(user) for user in exact], application) if exact else ()
        for user in (*other, *exact):
            if (mapping := self._store.mapping(application, user)) is not None:
                yield mapping

    def _add_mapping(self, definition: MappingDefinition, source: str, seen: dict[tuple[str, str], int]) -> str:
        application, line = self._applications[self._key(definition.application)], definition.line
        user = _user(application, definition, source)
        self._refuse_twice(application, user, source, line, seen)
        if definition.external_user is None:
            raise fault(source, line, "a mapping to create or change needs <externalUserId>")
        _refuse_local(application, user, source, line)
        of, key = self._mappings[application.name], self._key(user)
        known, before = of.known.get(key), of.planned.get(key)
        spelled = known or before
        external_user = definition.external_user
        if spelled is not None and application.type is ApplicationType.HOST_GROUP:
            external_user = spelled.user
        with _at(source, line):
            check_new_mapping(application, user, external_user, known)
        if known is None:
            user = user if spelled is None else spelled.user
            mapping = Mapping(application.name, user, external_user, enabled=self._enable)
        else:
            mapping = replace(known, external_user=external_user)
        if before is not None and before != mapping:
            file, there = of.places[key]
            raise fault(
                source, line, f"{shown(user)} is mapped to {shown(before.external_user)} in {file} line {there}"
            )
        of.planned[key], of.places[key] = mapping, (source, line)
        return _counter(before or known, mapping)

    def _delete_mapping(self, definition: MappingDefinition, source: str, seen: dict[tuple[str, str], int]) -> str:
        application = self._applications[self._key(definition.application)]
        user = _user(application, definition, source)
        self._refuse_twice(application, user, source, definition.line, seen)
        of, key = self._mappings[application.name], self._key(user)
        there = of.planned.get(key, of.known.get(key))
        if there is None and (near := self._near_user(user, application.name)):
            raise fault(source, definition.line, f"{shown(user)} is not there to delete{near}")
        of.planned[key] = None
        return "unchanged" if there is None else "deleted"

    def _near_user(self, user: str, application: str) -> str:
        if self._rule is NameRule.FOLDED:  # there is none
            return ""
        return _near(user, self._store.spellings([names.key(user)], application))

    def _refuse_twice(
        self, application: Application, user: str, source: str, line: int, seen: dict[tuple[str, str], int]
    ) -> None:
        same = application.name, self._key(user)
        if same in seen:
            raise fault(
                source, line, f"{shown(application.name)} / {shown(user)} is there already, on line {seen[same]}"
            )
        seen[same] = line


@contextlib.contextmanager
def _at(source: str, line: int) -> abc.Iterator[None]:
    """Say of an InvalidInput where it is."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(str(fault(source, line, str(error))), hint=error.hint) from None


def _counter(before: object, after: object) -> str:
    if before is None:
        return "created"
    return "unchanged" if before == after else "updated"


def _new(definition: ApplicationDefinition, source: str) -> Application:
    if not definition.fields:
        raise fault(
            source,
            definition.line,
            f"the application {shown(definition.name)} is new and has no field ordinal 0, the user id",
        )
    return Application(
        name=definition.name,
        application_id=secrets.token_hex(16),
        type=definition.type,
        fields=definition.fields,
        flags=replace(Flags(), **definition.flags),
        description=definition.description or "",
        contact=definition.contact or "",
        user_accounts=definition.user_accounts or (),
        administrator_accounts=definition.administrator_accounts or (),
        ticket_timeout_minutes=definition.ticket_timeout_minutes or None,
    )


def _changed(known: Application, definition: ApplicationDefinition, source: str) -> Application:
    flags = replace(known.flags, **definition.flags)
    fixed = {
        "its type": definition.contradicts(known.type),
        "its fields": definition.fields is not None and definition.fields != known.fields,
        "adminAccountSame": flags.administrators_same != known.flags.administrators_same,
    }
    for what, contradicted in fixed.items():
        if contradicted:
            error = fault(source, definition.line, f"the application {shown(known.name)} exists: {what} cannot change")
            hint = "take that out of the file, or delete the application and import it again"
            raise InvalidInput(str(error), hint=hint)
    timeout = definition.ticket_timeout_minutes
    given = {
        "description": definition.description,
        "contact": definition.contact,
        "user_accounts": definition.user_accounts,
        "administrator_accounts": definition.administrator_accounts,
    }
    return replace(
        known,
        flags=flags,
        ticket_timeout_minutes=known.ticket_timeout_minutes if timeout is None else timeout or None,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )


def _user(application: Application, definition: MappingDefinition, source: str) -> str:
    """Whose mapping it is: of a host group, the external user's, for whom its one account stands."""
    user, external_user = definition.user, definition.external_user
    if application.type is not ApplicationType.HOST_GROUP:
        if user is None:
            raise fault(source, definition.line, "the mapping has no <windowsUserId>")
        return user
    if external_user is None:
        raise fault(source, definition.line, f"in the host group {shown(application.name)} it needs <externalUserId>")
    if user is not None and not names.same(user, application.host_account or ""):
        what = f"the account of the host group {shown(application.name)} is {shown(application.host_account or '')}"
        raise fault(source, definition.line, f"{what}, not {shown(user)}")
    return external_user


def _near(name: str, exist: abc.Iterable[str]) -> str:
    """What to say of a name that is not there, if one is that differs in upper and lower case alone."""
    found = next((each for each in exist if names.same(each, name)), None)
    return "" if found is None else f": {shown(found)} exists"


def _refuse_local(application: Application, account: str, source: str, line: int) -> None:
    if not application.takes(account):
        what = f"{shown(account)} is an account of one machine, which {shown(application.name)} does not allow"
        raise InvalidInput(str(fault(source, line, what)), hint="it needs the flag allowLocalAccounts")
