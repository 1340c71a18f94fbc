"""Enabling and disabling a system as a whole. The master secret is kept and rotated as before."""

from __future__ import annotations

from dataclasses import replace

from keysvc.errors import NotConfigured
from keysvc.master.events import EventKind, told
from keysvc.plugin.changes import UNGUARDED, PutSystem
from keysvc.plugin.interfaces import MappingStore


def switch_system(store: MappingStore, actor: str, *, enabled: bool) -> None:
    """SSO servers notice within one poll interval. Repeatable. Raises NotConfigured; Conflict when somebody changed a
    setting at the same moment."""
    system = store.system()
    if system is None:
        raise NotConfigured(f"the mapping store {store.info().url} holds no system")
    if system.settings.enabled != enabled:
        changed = replace(system, settings=replace(system.settings, enabled=enabled))
        kind = EventKind.SYSTEM_ENABLED if enabled else EventKind.SYSTEM_DISABLED
        store.commit([PutSystem(changed, instead_of=system.settings), *told(actor, kind, system.system_id)], UNGUARDED)
