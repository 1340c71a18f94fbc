"""What an import would change, line by line, before anything is changed."""

from __future__ import annotations

import dataclasses
from collections import abc
from dataclasses import dataclass
from typing import Any, cast

from keysvc.entsso.importing import ImportedFile, SourceFile, import_files
from keysvc.model import Application, Guard, Mapping, Settings
from keysvc.plugin.changes import Change, DeleteMapping, PutApplication, PutMapping, PutSystem
from keysvc.plugin.interfaces import MappingStore

IDENTIFYING = frozenset({"name", "application_id", "application", "user", "revision"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that an import would change. `before` is empty for what is new, `after` for what goes."""

    what: str
    subject: str
    field: str
    before: str
    after: str


class _NothingWritten:
    """A mapping store whose changes are kept here, and go no further."""

    def __init__(self, store: MappingStore) -> None:
        self._store = store
        self.changes: list[Change] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, changes: abc.Iterable[Change], _guard: Guard) -> None:
        self.changes = list(changes)


def import_differences(
    store: MappingStore, files: abc.Sequence[SourceFile], *, actor: str, enable: bool = False
) -> tuple[abc.Sequence[ImportedFile], list[Difference]]:
    """What `import_files` would do and change. Nothing is written. Raises as it does."""
    recording = _NothingWritten(store)
    done = import_files(cast("MappingStore", recording), files, actor=actor, enable=enable)
    return done, [difference for change in recording.changes for difference in _of(store, change)]


def _of(store: MappingStore, change: Change) -> abc.Iterator[Difference]:
    match change:
        case PutSystem(system, before):
            yield from _between("setting", "system", before or Settings(), system.settings)
        case PutApplication(application):
            yield from _between("application", application.name, store.application(application.name), application)
        case PutMapping(mapping):
            known = store.mapping(mapping.application, mapping.user)
            yield from _between("mapping", f"{mapping.application}: {mapping.user}", known, mapping)
        case DeleteMapping(application_name, user):
            known = store.mapping(application_name, user)
            gone = known.external_user if known is not None else ""
            yield Difference("mapping", f"{application_name}: {user}", "external_user", gone, "")


def _between(
    what: str, subject: str, before: Application | Mapping | Settings | None, after: Application | Mapping | Settings
) -> abc.Iterator[Difference]:
    old, new = _flat(before), _flat(after)
    for name, value in new.items():
        if name not in IDENTIFYING and old.get(name, "") != value:
            yield Difference(what, subject, name, old.get(name, ""), value)


def _flat(value: Application | Mapping | Settings | None) -> dict[str, str]:
    """Each value as text, the flags of an application each by its name."""
    flat: dict[str, str] = {}
    for field in dataclasses.fields(value) if value is not None else ():
        found = getattr(value, field.name)
        if field.name == "flags":
            flat |= {f"flags.{name}": _text(flag) for name, flag in dataclasses.asdict(found).items()}
        else:
            flat[field.name] = _text(found)
    return flat


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(getattr(each, "label", str(each)) for each in value)
    return "" if value is None else str(value)
