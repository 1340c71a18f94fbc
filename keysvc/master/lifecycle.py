"""Configuring a system: its id, its first version, its first identity. Until then nothing works."""

from __future__ import annotations

from dataclasses import replace

from keysvc.crypto.audit import audit_keys
from keysvc.errors import AlreadyConfigured
from keysvc.master.events import STORE_RIGHTS, EventKind, audit, event
from keysvc.master.rotation import announced
from keysvc.master.secrets import UnsealedVersions
from keysvc.master.term import hold
from keysvc.model import (
    AuditTrail,
    Identity,
    MasterSecret,
    NameRule,
    Settings,
    SystemRecord,
    Versions,
    VersionState,
    utc_now,
)
from keysvc.plugin.changes import PutIdentity, PutSystem, PutVersion, SealAudit
from keysvc.plugin.interfaces import KeyStore, MappingStore


def refuse_if_configured(store: MappingStore) -> None:
    """Raises AlreadyConfigured. Expects a prepared store."""
    system = store.system()
    if system is not None:
        raise AlreadyConfigured(f"the mapping store {store.info().url} already holds system {system.system_id}")


def configure(
    store: MappingStore,
    key_store: KeyStore,
    system_id: str,
    administrator: Identity,
    *others: Identity,
    names: NameRule = NameRule.FOLDED,
) -> MasterSecret:
    """Generate version 1 and make the system known, all in one commit. Durable first: a version that was sealed by a
    run which died before that commit is used. Raises AlreadyConfigured, LeaseHeld."""
    refuse_if_configured(store)
    with hold(store) as term:
        refuse_if_configured(store)
        secret = UnsealedVersions(key_store).generate(known=Versions())
        term.commit(
            PutSystem(SystemRecord(system_id, utc_now(), Settings(names=names))),
            PutVersion(replace(announced(secret, VersionState.ACTIVE), completed_at=utc_now())),
            *map(PutIdentity, (administrator, *others)),
            audit(STORE_RIGHTS, EventKind.SYSTEM_CONFIGURED, system_id, trails=",".join(AuditTrail)),
            event(EventKind.SYSTEM_CONFIGURED, subject=system_id),
            *(SealAudit(trail, audit_keys([secret], system_id), first=True) for trail in AuditTrail),
        )
        return secret
