"""Brings Enterprise SSO's files into a mapping store: each file in one commit, all of it or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections import abc
from dataclasses import asdict, dataclass, replace

from keysvc.changes import UNGUARDED, AppendAudit, Change, DeleteMapping, PutApplication, PutMapping, PutSystem
from keysvc.entsso.definitions import ApplicationDefinition, MappingDefinition
from keysvc.entsso.document import fault, shown
from keysvc.entsso.reading import read_applications, read_mappings, read_settings
from keysvc.errors import Conflict, InvalidInput, NotConfigured, NotFound
from keysvc.interfaces import MappingStore
from keysvc.model import Application, AuditEntry, Flags, Mapping, utc_now

ATTEMPTS = 5

Counted = tuple[str, Change | None]
"""The counter of `Imported` that an entry of the file raises, and its change."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the entries of a file."""

    created: int
    updated: int
    unchanged: int
    deleted: int = 0


def import_applications(store: MappingStore, content: bytes, source: str, *, actor: str) -> Imported:
    """Create the applications that are new, update the others. Raises InvalidInput; then nothing has changed."""
    definitions = read_applications(content, source)

    def compute() -> abc.Iterator[Counted]:
        for definition in definitions:
            known = store.application(definition.name)
            application = _new(definition, source) if known is None else _changed(known, definition, source)
            yield _counted(known, application, PutApplication(application))

    return _commit(store, compute, _entry(actor, "application.imported", source), content)


def import_mappings(store: MappingStore, content: bytes, source: str, *, actor: str, enable: bool = False) -> Imported:
    """Create the mappings that are new, disabled unless `enable`; give the others their new external user.
    Raises InvalidInput; then nothing has changed."""
    definitions = read_mappings(content, source)

    def compute() -> abc.Iterator[Counted]:
        _refuse_unknown_applications(store, definitions, source)
        for definition in definitions:
            if definition.external_user is None:
                raise fault(source, definition.line, "a mapping to create or change needs <externalUserId>")
            known = store.mapping(definition.application, definition.user)
            if known is None:
                mapping = Mapping(definition.application, definition.user, definition.external_user, enabled=enable)
            else:
                mapping = replace(known, external_user=definition.external_user)
            yield _counted(known, mapping, PutMapping(mapping))

    return _commit(store, compute, _entry(actor, "mapping.imported", source), content)


def delete_mappings(store: MappingStore, content: bytes, source: str, *, actor: str) -> Imported:
    """Delete the mappings of the file with their credentials, whatever their external user is by now. Those that are
    not there count as unchanged. Raises InvalidInput; then nothing has changed."""
    definitions = read_mappings(content, source)

    def compute() -> abc.Iterator[Counted]:
        _refuse_unknown_applications(store, definitions, source)
        for definition in definitions:
            if store.mapping(definition.application, definition.user) is None:
                yield "unchanged", None
            else:
                yield "deleted", DeleteMapping(definition.application, definition.user)

    return _commit(store, compute, _entry(actor, "mapping.import-deleted", source), content)


def import_settings(store: MappingStore, content: bytes, source: str, *, actor: str) -> Imported:
    """Change the settings that the file gives. Raises NotConfigured; InvalidInput: then nothing has changed."""
    definition = read_settings(content, source)

    def compute() -> abc.Iterator[Counted]:
        system = store.system()
        if system is None:
            raise NotConfigured(f"the mapping store {store.info().url} holds no system")
        # replace() cannot know that every value is of its setting's type; the reader made sure of it
        changed = replace(system, settings=replace(system.settings, **definition.given))  # type: ignore[arg-type]
        yield _counted(system, changed, PutSystem(changed))

    return _commit(store, compute, _entry(actor, "settings.imported", source), content)


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
    given = {
        "description": definition.description,
        "contact": definition.contact,
        "user_accounts": definition.user_accounts,
        "administrator_accounts": definition.administrator_accounts,
    }
    return replace(known, flags=flags, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _refuse_unknown_applications(
    store: MappingStore, definitions: abc.Iterable[MappingDefinition], source: str
) -> None:
    known = {application.name for application in store.applications()}
    for definition in definitions:
        if definition.application not in known:
            error = fault(source, definition.line, f"there is no application {shown(definition.application)}")
            raise InvalidInput(str(error), hint="create it first: keysvc app import FILE, or keysvc app create")


def _counted(before: object, after: object, change: Change) -> Counted:
    if before is None:
        return "created", change
    return ("unchanged", None) if before == after else ("updated", change)


def _entry(actor: str, action: str, source: str) -> AuditEntry:
    return AuditEntry(utc_now(), actor, action, source[-256:])  # of a long path, the end tells more


def _commit(
    store: MappingStore, compute: abc.Callable[[], abc.Iterator[Counted]], audit: AuditEntry, content: bytes
) -> Imported:
    """Compute and commit; when someone else changed the same rows between the two, compute again."""

    def attempt() -> Imported:
        counts = {"created": 0, "updated": 0, "unchanged": 0, "deleted": 0}
        changes: list[Change] = []
        for counter, change in compute():
            counts[counter] += 1
            if change is not None:
                changes.append(change)
        imported = Imported(**counts)
        detail = {**asdict(imported), "sha256": hashlib.sha256(content).hexdigest()}
        store.commit([*changes, AppendAudit(replace(audit, detail=detail))], UNGUARDED)
        return imported

    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Conflict, NotFound):
            return attempt()
    return attempt()
