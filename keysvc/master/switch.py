"""What holds for a system as a whole: whether it is enabled, and which names are one. The master secret is kept and
rotated as before."""

from __future__ import annotations

from collections import abc
from dataclasses import replace

from keysvc.errors import NotConfigured
from keysvc.master.events import EventKind, told
from keysvc.model import NameRule, SystemRecord, names
from keysvc.plugin import paging
from keysvc.plugin.changes import UNGUARDED, PutSystem
from keysvc.plugin.interfaces import MappingStore


def switch_system(store: MappingStore, actor: str, *, enabled: bool) -> None:
    """SSO servers notice within one poll interval. Repeatable. Raises NotConfigured; Conflict when somebody changed a
    setting at the same moment."""
    system = _system(store)
    if system.settings.enabled != enabled:
        changed = replace(system, settings=replace(system.settings, enabled=enabled))
        kind = EventKind.SYSTEM_ENABLED if enabled else EventKind.SYSTEM_DISABLED
        store.commit([PutSystem(changed, instead_of=system.settings), *told(actor, kind, system.system_id)], UNGUARDED)


def fold_names(store: MappingStore, actor: str) -> abc.Sequence[str]:
    """Make names that differ in upper and lower case alone one name, for good. Return the twins that are in the way,
    each with where they are: then nothing was changed. Repeatable. Raises NotConfigured, Conflict."""
    system = _system(store)
    if system.settings.names is NameRule.FOLDED:
        return []
    twins = list(_twins(store))
    if not twins:
        changed = replace(system, settings=replace(system.settings, names=NameRule.FOLDED))
        recorded = told(actor, EventKind.SYSTEM_NAMES_FOLDED, system.system_id)
        store.commit([PutSystem(changed, instead_of=system.settings), *recorded], UNGUARDED)
    return twins


def _twins(store: MappingStore) -> abc.Iterator[str]:
    applications = store.applications()
    yield from _alike("applications", (each.name for each in applications))
    yield from _alike("certificates", (each.name for each in store.identities()))
    for application in applications:
        users = (mapping.user for mapping in paging.mappings(store, application.name))
        yield from _alike(f"users of {application.name}", users)


def _alike(where: str, spelled: abc.Iterable[str]) -> abc.Iterator[str]:
    by_key: dict[str, list[str]] = {}
    for name in spelled:
        by_key.setdefault(names.key(name), []).append(name)
    yield from (f"{where}: {', '.join(alike)}" for alike in by_key.values() if len(alike) > 1)


def _system(store: MappingStore) -> SystemRecord:
    system = store.system()
    if system is None:
        raise NotConfigured(f"the mapping store {store.info().url} holds no system")
    return system
