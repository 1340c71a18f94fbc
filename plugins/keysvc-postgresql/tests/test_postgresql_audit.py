"""The audit trails on PostgreSQL: many writers at once, and tampering at a random entry."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from systems import SYSTEM_ID, configured
from tampering import Tampering, saved

from keysvc.crypto.audit import audit_keys
from keysvc.master import audit_trails
from keysvc.plugin import UNGUARDED, AppendAudit, AuditEntry, AuditTrail, SealAudit, utc_now


@pytest.fixture
def system(url: str, tmp_path: Path):
    made = configured(tmp_path, mapping_store=url)
    yield made
    made.close()


def test_entries_of_many_writers_are_chained_without_a_gap_and_tampering_is_found_every_time(system) -> None:
    keys = audit_keys([system.key_store().unseal(1)], SYSTEM_ID)

    def run(number: int) -> None:
        store = system.store()
        for count in range(12):
            trail = (AuditTrail.CHANGES, AuditTrail.LOOKUPS)[(number + count) % 2]
            action = "act" if trail is AuditTrail.CHANGES else "credential.looked-up"
            entry = AppendAudit(AuditEntry(utc_now(), f"writer {number}", action, str(count), {"n": count}))
            other = AppendAudit(AuditEntry(utc_now(), f"writer {number}", "mapping.deleted", "x"))
            store.commit([entry, other, *([SealAudit(trail, keys)] if number % 2 else [])], UNGUARDED)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = system.store()
    for trail in AuditTrail:
        found = store.audit(trail, limit=1000)
        assert [entry.sequence for entry in found] == list(range(1, len(found) + 1))
        store.commit([SealAudit(trail, keys)], UNGUARDED)
        assert audit_trails.verify(store, trail, keys).problems == ()
    assert sum(len(store.audit(trail, limit=1000)) for trail in AuditTrail) == 1 + 8 * 12 * 2
    restore = saved(store)
    for seed in range(100):
        tampering = Tampering(store, seed)
        assert audit_trails.verify(store, AuditTrail.CHANGES, keys).problems, tampering.did
        restore()
    assert audit_trails.verify(store, AuditTrail.CHANGES, keys).problems == ()
