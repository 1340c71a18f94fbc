"""The audit trails of the conformance suite of mapping stores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keysvc.errors import Conflict
from keysvc.model import AuditEntry, AuditTrail, SecretBytes, VersionState
from keysvc.plugin.audit_chain import START, AuditHead, AuditKeys, link
from keysvc.plugin.changes import (
    UNGUARDED,
    AcceptAudit,
    AppendAudit,
    DeleteMapping,
    PruneAudit,
    PutAuditHead,
    PutVersion,
    SealAudit,
)
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.mapping_store_samples import AT, MINUTE, OpenStore, a_version, activate

CHANGES, LOOKUPS = AuditTrail.CHANGES, AuditTrail.LOOKUPS
SYSTEM_ID = "0" * 32
KEYS = AuditKeys(SYSTEM_ID, {version: SecretBytes(bytes([version]) * 32) for version in (1, 2)})
OLD_KEYS = AuditKeys(SYSTEM_ID, {1: SecretBytes(bytes([1]) * 32)})


def note(subject: str, action: str = "act") -> AppendAudit:
    """An entry of `changes`, unless the action is of another trail."""
    return AppendAudit(AuditEntry(AT, "me", action, subject, {"n": 1, "on": True, "ü": "ß"}, "here"))


def head(store: MappingStore, trail: AuditTrail = CHANGES) -> AuditHead:
    """Of one trail."""
    return next(each for each in store.audit_heads() if each.trail is trail)


class MappingStoreTrails:
    """Part of `MappingStoreConformance`."""

    def test_the_audit_is_numbered_in_the_order_of_its_commits(self, store: MappingStore) -> None:
        for number in range(5):
            entries = [
                AuditEntry(AT - number * MINUTE, "me", "act", f"{number}.{part}", {"n": part}) for part in (0, 1)
            ]
            store.commit([AppendAudit(entry) for entry in entries], UNGUARDED)
        trail = store.audit()
        assert [entry.subject for entry in trail] == [f"{number}.{part}" for number in range(5) for part in (0, 1)]
        assert [entry.sequence for entry in trail] == list(range(1, 11))
        assert replace(trail[3], sequence=0) == AuditEntry(AT - MINUTE, "me", "act", "1.1", {"n": 1})
        assert list(store.audit(after=trail[3].sequence, limit=2)) == list(trail[4:6])

    def test_each_trail_has_its_own_numbers_and_its_own_chain(self, store: MappingStore) -> None:
        store.commit([note("a"), note("b", "credential.looked-up"), note("c", "mapping.deleted"), note("d")], UNGUARDED)
        assert [(e.sequence, e.subject) for e in store.audit(CHANGES)] == [(1, "a"), (2, "d")]
        assert [(e.sequence, e.subject) for e in store.audit(LOOKUPS)] == [(1, "b")]
        assert [(e.sequence, e.subject) for e in store.audit(AuditTrail.DELETED_MAPPINGS)] == [(1, "c")]
        assert {each.trail for each in store.audit_heads()} == set(AuditTrail)
        last = START
        for entry in store.audit(CHANGES):
            last = link(last, entry)
            assert entry.link == last
        assert (head(store).sequence, head(store).link) == (2, last)

    def test_a_commit_that_fails_leaves_no_gap_in_a_trail(self, store: MappingStore) -> None:
        store.commit([note("a")], UNGUARDED)
        with pytest.raises(Conflict):
            store.commit([note("never"), DeleteMapping("SAP", "nobody")], UNGUARDED)
        store.commit([note("b")], UNGUARDED)
        assert [(entry.sequence, entry.subject) for entry in store.audit()] == [(1, "a"), (2, "b")]

    def test_a_trail_is_sealed_as_it_ends_with_the_commit_and_goes_on_after_a_restart(
        self, store: MappingStore, open_store: OpenStore
    ) -> None:
        store.commit([note("a"), SealAudit(CHANGES, KEYS, first=True)], UNGUARDED)
        store.commit([note("without a key")], UNGUARDED)
        assert (head(store).sealed_sequence, head(store).sealed_version) == (1, 1)
        store.commit([SealAudit(CHANGES, KEYS), note("b")], UNGUARDED)
        sealed = head(store)
        assert (sealed.sequence, sealed.sealed_sequence, sealed.sealed_link) == (3, 3, sealed.link)
        assert KEYS.authenticates(sealed)
        again = open_store()
        assert head(again) == sealed
        again.close()

    def test_a_trail_is_sealed_under_the_active_version_by_who_holds_that_and_the_one_before(
        self, store: MappingStore
    ) -> None:
        store.commit([note("a"), SealAudit(CHANGES, KEYS, first=True)], UNGUARDED)
        store.commit([PutVersion(a_version(2, VersionState.ANNOUNCED))], UNGUARDED)
        activate(store, 2, instead_of=1, also=[SealAudit(CHANGES, OLD_KEYS)])
        assert head(store).sealed_version == 1
        only_new = AuditKeys(SYSTEM_ID, {2: SecretBytes(bytes([2]) * 32)})
        store.commit([SealAudit(CHANGES, only_new)], UNGUARDED)
        assert head(store).sealed_version == 1
        store.commit([SealAudit(CHANGES, KEYS)], UNGUARDED)
        assert (head(store).sealed_version, KEYS.authenticates(head(store))) == (2, True)

    def test_nobody_seals_a_trail_that_never_was_but_once(self, store: MappingStore) -> None:
        store.commit([note("a"), SealAudit(CHANGES, KEYS)], UNGUARDED)
        assert head(store).sealed_version == 0
        store.commit([SealAudit(CHANGES, KEYS, first=True)], UNGUARDED)
        assert head(store).sealed_version == 1

    def test_a_trail_is_pruned_from_its_beginning_and_stays_sealed(self, store: MappingStore) -> None:
        store.commit([*map(note, "abcd"), SealAudit(CHANGES, KEYS, first=True)], UNGUARDED)
        second = store.audit()[1]
        store.commit([PruneAudit(CHANGES, 2, KEYS)], UNGUARDED)
        assert [entry.subject for entry in store.audit()] == ["c", "d"]
        pruned = head(store)
        assert (pruned.base_sequence, pruned.base_link, pruned.sequence) == (2, second.link, 4)
        assert KEYS.authenticates(pruned)
        store.commit([note("e")], UNGUARDED)
        for through in (2, 5 + 1):
            with pytest.raises(Conflict):
                store.commit([PruneAudit(CHANGES, through, KEYS)], UNGUARDED)
        assert [entry.sequence for entry in store.audit()] == [3, 4, 5]

    def test_a_trail_that_was_accepted_is_sealed_from_its_end_on(self, store: MappingStore) -> None:
        store.commit([note("a"), note("b")], UNGUARDED)
        store.commit([AcceptAudit(CHANGES, KEYS), note("c"), SealAudit(CHANGES, KEYS)], UNGUARDED)
        assert [entry.subject for entry in store.audit()] == ["a", "b", "c"]
        accepted = head(store)
        assert (accepted.base_sequence, accepted.sealed_sequence) == (2, 3)
        assert KEYS.authenticates(accepted)

    def test_a_trail_that_is_moved_begins_and_ends_as_it_did(self, store: MappingStore) -> None:
        store.commit([note("of this store")], UNGUARDED)
        begins = AuditHead(CHANGES, base_sequence=7, base_link=b"l" * 32, sequence=7, link=b"l" * 32)
        store.commit([PutAuditHead(begins)], UNGUARDED)
        assert not store.audit()
        store.commit([note("a")], UNGUARDED)
        assert [entry.sequence for entry in store.audit()] == [8]
        sealed = replace(head(store), sealed_sequence=8, sealed_link=head(store).link, sealed_version=1, mac=b"m" * 32)
        store.commit([PutAuditHead(sealed)], UNGUARDED)
        assert head(store) == sealed
        with pytest.raises(Conflict):
            store.commit([PutAuditHead(replace(sealed, sequence=9))], UNGUARDED)
