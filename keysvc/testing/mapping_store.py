"""What every mapping store promises, as tests. An author's whole test file:

    from keysvc.testing.mapping_store import MappingStoreConformance

    class TestMyMappingStore(MappingStoreConformance):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: MyMappingStore(tmp_path)      # opens the same data again: that is a restart

`open_store()` opens one and the same database each time; at the beginning of a test nothing has prepared it.
The tests of single rows are in `mapping_store_rows`, those of many rows of one commit in `mapping_store_batches`, those
of what happens at once in `mapping_store_races`.
"""

from __future__ import annotations

from collections import abc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keysvc.errors import Conflict, Fenced, NotConfigured, NotFound, StaleVersion, VersionInUse
from keysvc.model import (
    AuditEntry,
    BackupRecord,
    Event,
    Guard,
    Mapping,
    RotationSettings,
    Settings,
    SystemRecord,
    VersionId,
    Versions,
    VersionState,
)
from keysvc.plugin.changes import (
    UNGUARDED,
    AppendAudit,
    AppendEvent,
    DeleteMapping,
    PutApplication,
    PutBackup,
    PutCredential,
    PutMapping,
    PutRotationSettings,
    PutSystem,
    PutVersion,
    Reencrypt,
)
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.conformance import Conformance
from keysvc.testing.mapping_store_batches import MappingStoreBatches
from keysvc.testing.mapping_store_identities import MappingStoreIdentities
from keysvc.testing.mapping_store_names import MappingStoreNames
from keysvc.testing.mapping_store_races import MappingStoreRaces
from keysvc.testing.mapping_store_rows import MappingStoreRows
from keysvc.testing.mapping_store_samples import (
    AT,
    MINUTE,
    OpenStore,
    a_credential,
    a_version,
    activate,
    an_application,
    users,
)
from keysvc.testing.mapping_store_trails import MappingStoreTrails


class MappingStoreConformance(
    MappingStoreRows,
    MappingStoreBatches,
    MappingStoreIdentities,
    MappingStoreNames,
    MappingStoreTrails,
    MappingStoreRaces,
    Conformance,
):
    """Subclass it and give `open_store`."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """A factory: each call opens the same data."""
        pytest.fail("give a fixture `open_store`: a factory that opens the same database at each call")

    @pytest.fixture
    def store(self, open_store: OpenStore) -> abc.Iterator[MappingStore]:
        """Prepared, version 1 active, one application."""
        store = open_store()
        store.prepare()
        version = a_version(1, VersionState.ACTIVE)
        store.commit([PutVersion(version), PutApplication(an_application())], UNGUARDED)
        yield store
        store.close()

    # -- life -------------------------------------------------------------------------------------------------------

    def test_a_store_that_was_not_prepared_says_not_configured(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.info().schema_version == 0
        calls: list[abc.Callable[[], object]] = [
            store.system,
            store.versions,
            store.lease,
            store.epoch,
            store.applications,
            store.rows_by_version,
            lambda: store.credential("SAP", "alice"),
            lambda: store.commit([], UNGUARDED),
            lambda: store.grant_lease("one", MINUTE),
        ]
        for call in calls:
            with pytest.raises(NotConfigured):
                call()
        store.close()

    def test_prepare_is_repeatable_and_keeps_what_is_there(self, store: MappingStore, open_store: OpenStore) -> None:
        store.prepare()
        again = open_store()
        again.prepare()
        assert again.application("SAP") == store.application("SAP") is not None
        assert again.info().schema_version == store.info().schema_version >= 1
        again.close()

    def test_a_prepared_store_is_empty(self, open_store: OpenStore) -> None:
        store = open_store()
        store.prepare()
        assert (store.system(), store.lease(), store.epoch(), store.backup()) == (None, None, 0, None)
        assert not [*store.versions(), *store.applications(), *store.credentials(), *store.servers()]
        assert not [*store.identities(), *store.events(9), *store.audit(), *store.rows_by_version()]
        store.close()

    def test_close_twice_is_close_once(self, store: MappingStore) -> None:
        store.close()
        store.close()

    def test_everything_committed_is_there_after_a_restart(self, store: MappingStore, open_store: OpenStore) -> None:
        store.commit(users("alice"), UNGUARDED)
        store.grant_lease("one", MINUTE)
        seen = (store.applications(), store.mappings("SAP"), store.credentials(), store.epoch(), store.lease())
        store.close()
        again = open_store()
        assert (again.applications(), again.mappings("SAP"), again.credentials(), again.epoch(), again.lease()) == seen
        assert len(seen[2]) == 1
        again.close()

    # -- one commit -------------------------------------------------------------------------------------------------

    def test_a_commit_is_all_or_none(self, store: MappingStore) -> None:
        entry = AppendAudit(AuditEntry(AT, "me", "try", "it"))
        event = AppendEvent(Event("1", "try", AT, {}))
        fails = PutCredential(a_credential("nobody"))
        with pytest.raises(NotFound):
            store.commit(
                [*users("alice"), entry, event, PutVersion(a_version(2, VersionState.ANNOUNCED)), fails], UNGUARDED
            )
        assert not [*store.mappings("SAP"), *store.credentials(), *store.audit(), *store.events(9)]
        assert [record.version for record in store.versions()] == [1]

    def test_changes_apply_in_their_order(self, store: MappingStore) -> None:
        mapping = PutMapping(Mapping("ERP", "alice", "A"))
        store.commit(
            [PutApplication(an_application("ERP")), mapping, DeleteMapping("ERP", "alice"), mapping], UNGUARDED
        )
        assert store.mapping("ERP", "alice") is not None
        with pytest.raises(NotFound):
            store.commit([PutMapping(Mapping("CRM", "a", "A")), PutApplication(an_application("CRM"))], UNGUARDED)

    def test_an_epoch_that_is_over_is_fenced(self, store: MappingStore) -> None:
        old = store.grant_lease("one", MINUTE)
        assert old is not None
        store.commit(users("alice"), Guard(epoch=old.epoch))
        new = store.grant_lease("one", MINUTE)
        assert new is not None
        with pytest.raises(Fenced):
            store.commit(users("bob"), Guard(epoch=old.epoch))
        store.commit(users("carol"), Guard(epoch=new.epoch))
        assert [mapping.user for mapping in store.mappings("SAP")] == ["alice", "carol"]

    def test_a_write_under_another_version_than_the_active_one_is_stale(self, store: MappingStore) -> None:
        store.commit(users("alice"), Guard(active_version=a_version(1, VersionState.ACTIVE).id))
        with pytest.raises(StaleVersion):
            store.commit(users("bob"), Guard(active_version=a_version(2, VersionState.ACTIVE).id))
        activate(store, 2, instead_of=1)
        with pytest.raises(StaleVersion):
            store.commit(users("bob"), Guard(active_version=a_version(1, VersionState.ACTIVE).id))
        assert [mapping.user for mapping in store.mappings("SAP")] == ["alice"]

    def test_a_write_under_another_secret_of_the_same_number_is_stale(self, store: MappingStore) -> None:
        with pytest.raises(StaleVersion):
            store.commit(users("bob"), Guard(active_version=VersionId(1, "f" * 16)))
        assert store.mappings("SAP") == []

    def test_an_unguarded_commit_checks_neither(self, store: MappingStore) -> None:
        store.grant_lease("one", MINUTE)
        store.commit(users("alice"), UNGUARDED)
        assert store.mapping("SAP", "alice") is not None

    # -- system, versions, backup -----------------------------------------------------------------------------------

    def test_the_system_record_is_made_once_and_its_settings_replaced(self, store: MappingStore) -> None:
        system = SystemRecord("0f" * 16, AT, Settings(administrators="CORP\\SSO Administrators"))
        store.commit([PutSystem(system)], UNGUARDED)
        assert store.system() == system
        changed = replace(system, settings=Settings(ticket_timeout_minutes=7, enabled=False))
        store.commit([PutSystem(changed)], UNGUARDED)
        assert store.system() == changed

    def test_settings_are_replaced_only_when_they_are_those_that_were_read(self, store: MappingStore) -> None:
        system = SystemRecord("0f" * 16, AT)
        store.commit([PutSystem(system)], UNGUARDED)
        changed = replace(system, settings=Settings(enabled=False))
        store.commit([PutSystem(changed, instead_of=system.settings)], UNGUARDED)
        late = replace(system, settings=Settings(ticket_timeout_minutes=7))
        with pytest.raises(Conflict):
            store.commit([PutSystem(late, instead_of=system.settings), *users("alice")], UNGUARDED)
        assert (store.system(), list(store.mappings("SAP"))) == (changed, [])

    def test_versions_ascend_and_keep_their_check_values(self, store: MappingStore) -> None:
        later = [a_version(10, VersionState.ANNOUNCED), a_version(3, VersionState.DESTROYED)]
        store.commit([PutVersion(record) for record in later], UNGUARDED)
        assert store.versions() == Versions([a_version(1, VersionState.ACTIVE), later[1], later[0]])
        store.commit([PutVersion(a_version(10, VersionState.RETIRING))], UNGUARDED)
        assert store.versions()[-1] == a_version(10, VersionState.RETIRING)

    def test_marks_of_a_version_come_back_and_its_making_never_changes(self, store: MappingStore) -> None:
        marked = replace(a_version(1, VersionState.ACTIVE), completed_at=AT, compromised_at=AT + MINUTE)
        store.commit([PutVersion(replace(marked, created_at=AT + MINUTE))], UNGUARDED)
        assert list(store.versions()) == [marked]

    def test_a_version_is_never_destroyed_while_a_credential_is_under_it(self, store: MappingStore) -> None:
        store.commit(users("alice", "bob"), UNGUARDED)
        activate(store, 2, instead_of=1)
        with pytest.raises(VersionInUse, match=r"alice.*SAP.*version 1"):
            store.commit([PutVersion(a_version(1, VersionState.DESTROYED))], UNGUARDED)
        assert store.versions()[0].state is VersionState.RETIRING
        moved = [replace(row, version=2) for row in store.credentials()]
        store.commit([Reencrypt(moved)], UNGUARDED)
        store.commit([PutVersion(a_version(1, VersionState.DESTROYED))], UNGUARDED)
        assert store.versions()[0].state is VersionState.DESTROYED

    def test_the_settings_of_rotations_are_replaced(self, store: MappingStore) -> None:
        assert store.rotation_settings() == RotationSettings()
        for settings in (RotationSettings(AT, 500), RotationSettings(None, 7), RotationSettings()):
            store.commit([PutRotationSettings(settings)], UNGUARDED)
            assert store.rotation_settings() == settings

    @pytest.mark.parametrize("active_first", [True, False])
    def test_one_version_takes_over_from_the_other_in_one_commit(self, store: MappingStore, active_first: bool) -> None:
        puts = [PutVersion(a_version(2, VersionState.ACTIVE)), PutVersion(a_version(1, VersionState.RETIRING))]
        store.commit(puts if active_first else puts[::-1], UNGUARDED)
        assert [record.state for record in store.versions()] == [VersionState.RETIRING, VersionState.ACTIVE]
        store.commit([], Guard(active_version=a_version(2, VersionState.ACTIVE).id))

    def test_two_versions_are_never_active(self, store: MappingStore) -> None:
        with pytest.raises(Conflict):
            store.commit([PutVersion(a_version(2, VersionState.ACTIVE))], UNGUARDED)
        assert list(store.versions()) == [a_version(1, VersionState.ACTIVE)]
        store.commit([], Guard(active_version=a_version(1, VersionState.ACTIVE).id))

    def test_the_newest_backup_is_kept(self, store: MappingStore) -> None:
        for backup in (BackupRecord(AT, (1,)), BackupRecord(AT + MINUTE, (1, 2))):
            store.commit([PutBackup(backup)], UNGUARDED)
            assert store.backup() == backup

    # -- the lease --------------------------------------------------------------------------------------------------

    def test_the_lease_has_one_holder(self, store: MappingStore) -> None:
        lease = store.grant_lease("one", MINUTE)
        assert lease is not None
        assert (lease.holder, lease.epoch) == ("one", 1)
        assert store.grant_lease("two", MINUTE) is None
        assert (store.lease(), store.epoch()) == (lease, 1)

    def test_the_lease_says_where_its_holder_is(self, store: MappingStore) -> None:
        lease = store.grant_lease("one", MINUTE, "https://one.example:7443")
        assert lease is not None
        assert lease.url == "https://one.example:7443"
        assert store.lease() == lease
        renewed = store.renew_lease(lease, MINUTE)
        assert (renewed.url, store.lease()) == (lease.url, renewed)
        store.release_lease(renewed)
        taken = store.grant_lease("two", MINUTE)
        assert taken is not None
        assert taken.url == ""

    def test_the_epoch_rises_at_every_grant(self, store: MappingStore) -> None:
        epochs = []
        for holder in ("one", "one", "two", "one"):
            lease = store.grant_lease(holder, MINUTE)
            assert lease is not None
            epochs.append(lease.epoch)
            if len(epochs) > 1:
                store.release_lease(lease)
        assert epochs == [1, 2, 3, 4]

    def test_a_renewed_lease_keeps_its_epoch_and_lasts_longer(self, store: MappingStore) -> None:
        lease = store.grant_lease("one", MINUTE)
        assert lease is not None
        renewed = store.renew_lease(lease, 10 * MINUTE)
        assert renewed.epoch == lease.epoch
        assert renewed.expires_at > lease.expires_at + 5 * MINUTE
        assert store.lease() == renewed

    def test_of_a_process_and_its_copy_only_one_prolongs_the_lease(self, store: MappingStore) -> None:
        lease = store.grant_lease("one", MINUTE)
        assert lease is not None
        renewed = store.renew_lease(lease, 2 * MINUTE)
        with pytest.raises(Fenced):
            store.renew_lease(lease, 3 * MINUTE)
        store.release_lease(lease)
        assert store.lease() == renewed
        assert store.renew_lease(renewed, MINUTE).epoch == lease.epoch

    def test_a_released_lease_may_be_taken_at_once(self, store: MappingStore) -> None:
        lease = store.grant_lease("one", MINUTE)
        assert lease is not None
        store.release_lease(lease)
        assert (store.lease(), store.epoch()) == (None, 1)
        taken = store.grant_lease("two", MINUTE)
        assert taken is not None
        store.release_lease(lease)
        assert store.lease() == taken

    def test_a_lease_that_another_took_over_is_fenced(self, store: MappingStore) -> None:
        lease = store.grant_lease("one", MINUTE)
        assert lease is not None
        store.release_lease(lease)
        taken = store.grant_lease("two", MINUTE)
        with pytest.raises(Fenced):
            store.renew_lease(lease, MINUTE)
        assert store.lease() == taken

    def test_a_lease_ends_by_the_clock_of_the_store(self, store: MappingStore) -> None:
        lease = store.grant_lease("one", timedelta(milliseconds=1))
        assert lease is not None
        deadline = datetime.now(UTC) + timedelta(seconds=3)
        while store.lease() is not None:
            assert datetime.now(UTC) < deadline
        taken = store.grant_lease("two", MINUTE)
        assert taken is not None
        assert taken.epoch == lease.epoch + 1
