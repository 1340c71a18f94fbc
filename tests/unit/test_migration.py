"""A whole system moves from one mapping store into another, or stays whole where it was."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from datetime import timedelta

import pytest
from rows import move_twins
from systems import System

from keysvc.errors import Conflict, LeaseHeld, MappingStoreError, NotConfigured, StaleVersion
from keysvc.installation import migration
from keysvc.model import AuditTrail, BackupRecord, Event, Guard, UsedTicket, VersionState, utc_now
from keysvc.plugin.changes import (
    UNGUARDED,
    AppendEvent,
    DeleteApplication,
    DeleteMapping,
    PutBackup,
    PutCredential,
    PutIdentity,
    PutVersion,
    UseTicket,
)
from keysvc.stores.sqlite import SQLiteMappingStore
from keysvc.testing.deaths import die_at_every_line

USERS = [f"user{number}" for number in range(7)]


@pytest.fixture
def filled(system: System) -> System:
    system.with_users(*USERS)
    system.start()
    sso, _ = system.sso()
    for user in USERS:
        sso.set_credential("SAP", user=user, password=f"of {user}")
    sso.close()
    system.stop()
    event = AppendEvent(Event("e1", "rotation.started", utc_now(), {}))
    used = UseTicket(UsedTicket("ab" * 16, utc_now()), utc_now() - timedelta(days=1))
    system.store().commit([PutBackup(BackupRecord(utc_now(), (1,))), event, used], UNGUARDED)
    return system


@pytest.fixture
def target(tmp_path):
    store = SQLiteMappingStore(tmp_path / "new.db")
    yield store
    store.close()


def trail(store, of=AuditTrail.CHANGES):
    return [replace(entry, sequence=0) for entry in store.audit(of, limit=10_000)]


def states(store):
    return [(record.version, record.state) for record in store.versions()]


def test_everything_is_there_afterwards_and_works(filled, target, tmp_path):
    source = filled.store()
    before = trail(source), source.events(9)
    moved = migration.migrate(source, target, "administrator")
    assert target.used_tickets() == source.used_tickets() != []
    assert moved.counts == {
        "system": 1, "backup": 1, "rotation": 1, "identities": 1, "applications": 1, "mappings": 7, "credentials": 7,
    }  # fmt: skip
    assert (trail(target)[:-1], target.events(9)) == before
    assert trail(target, AuditTrail.MEMBERS) == trail(source, AuditTrail.MEMBERS) != []
    assert (trail(target)[-1].action, trail(target)[-1].actor) == ("system.moved", "administrator")
    assert states(target) == [(1, VersionState.ACTIVE)]
    assert target.epoch() > source.epoch()
    filled.mapping_store = f"sqlite:///{tmp_path}/new.db"
    filled.start()
    sso, _ = filled.sso()
    assert {user: sso.credential("SAP", user=user)["password"].reveal() for user in USERS} == {
        user: f"of {user}" for user in USERS
    }
    sso.set_credential("SAP", user="user0", password="new")


def test_the_old_store_is_read_but_nothing_is_encrypted_into_it_any_more(filled, target):
    source = filled.store()
    migration.migrate(source, target, "administrator")
    row = source.credential("SAP", "user0")
    assert row is not None
    with pytest.raises(StaleVersion):
        source.commit([PutCredential(row)], Guard(active_version=source.versions()[0].id))


def test_after_the_end_a_repetition_changes_nothing_and_another_target_is_refused(filled, target, tmp_path):
    source = filled.store()
    moved = migration.migrate(source, target, "administrator")
    target.commit([DeleteMapping("SAP", "user0")], UNGUARDED)  # life goes on there
    assert migration.migrate(source, target, "administrator").counts["mappings"] == moved.counts["mappings"] - 1
    third = SQLiteMappingStore(tmp_path / "third.db")
    with pytest.raises(Conflict, match="moved away"):
        migration.migrate(source, third, "administrator")
    third.close()
    known = source.identity("administrator")
    source.commit([PutIdentity(replace(known, revoked_at=utc_now()))], UNGUARDED)  # in the store that was left
    back = SQLiteMappingStore(tmp_path / "keysvc.db")
    assert migration.migrate(target, back, "administrator").counts["mappings"] == 6
    assert states(back) == [(1, VersionState.ACTIVE)]
    assert back.identity("administrator").revoked_at is None
    back.close()


def test_a_target_that_is_at_work_is_left_alone(filled, target):
    source = filled.store()
    migration.migrate(source, target, "administrator")
    source.commit([PutVersion(replace(source.versions()[0], state=VersionState.ACTIVE))], UNGUARDED)  # from a backup
    with pytest.raises(Conflict, match="at work"):
        migration.migrate(source, target, "administrator")


def test_an_application_that_was_made_again_meanwhile_is_the_new_one(filled, target, tmp_path):
    source = filled.store()
    with contextlib.closing(Forgetful(tmp_path / "new.db")) as forgetful, pytest.raises(MappingStoreError):
        migration.migrate(source, forgetful, "administrator")
    source.commit([DeleteApplication("SAP")], UNGUARDED)
    filled.with_users("anna")
    migration.migrate(source, target, "administrator")
    assert [mapping.user for mapping in target.mappings("SAP")] == ["anna"]


def test_while_a_master_runs_nothing_is_moved(filled, target):
    filled.start()
    with pytest.raises(LeaseHeld):
        migration.migrate(filled.store(), target, "administrator")
    assert target.system() is None


def test_while_a_version_is_announced_nothing_is_moved(filled, target):
    source = filled.store()
    record = replace(source.versions()[0], version=2, check_value="ab", state=VersionState.ANNOUNCED)
    source.commit([PutVersion(record)], UNGUARDED)
    with pytest.raises(Conflict, match="announced"):
        migration.migrate(source, target, "administrator")


def test_another_system_is_never_overwritten(filled, target, tmp_path):
    from systems import configured

    (tmp_path / "other").mkdir()
    with (
        contextlib.closing(configured(tmp_path / "other", system_id="7" * 32)) as other,
        pytest.raises(Conflict, match="at work"),
    ):
        migration.migrate(filled.store(), other.store(), "administrator")
    assert states(filled.store()) == [(1, VersionState.ACTIVE)]


class Forgetful(SQLiteMappingStore):
    """Loses a credential that it said it had kept."""

    def commit(self, changes, guard):
        lost = [c for c in changes if isinstance(c, PutCredential) and c.credential.user == "user3"]
        super().commit([change for change in changes if change not in lost], guard)


def test_what_is_not_read_back_as_it_was_is_an_error_and_the_old_store_goes_on(filled, tmp_path):
    source, target = filled.store(), Forgetful(tmp_path / "new.db")
    with pytest.raises(MappingStoreError, match="'credentials': 6"):
        migration.migrate(source, target, "administrator")
    assert states(source) == [(1, VersionState.ACTIVE)]
    assert states(target) == [(1, VersionState.ANNOUNCED)]
    target.close()


@pytest.mark.skipif(os.name == "nt", reason="fork is POSIX's")
def test_after_death_at_any_line_the_move_is_repeated_and_ends_the_same(filled, target, tmp_path):
    path = tmp_path / "keysvc.db"
    filled.close()

    def move() -> None:
        source, new = SQLiteMappingStore(path), SQLiteMappingStore(tmp_path / "new.db")
        migration.migrate(source, new, "administrator")

    def there_is_one_complete_store(_death: int) -> None:
        source = SQLiteMappingStore(path)
        assert len(source.credentials()) == len(USERS)
        for store in (source, target):
            with contextlib.suppress(NotConfigured):
                lease = store.lease()
                if lease is not None:
                    store.release_lease(lease)  # else each death would cost its time to live
        source.close()

    deaths = die_at_every_line(move, there_is_one_complete_store, [migration], step=7)
    assert deaths > 50
    assert migration.Contents.of(target).counts["credentials"] == len(USERS)
    assert states(target) == [(1, VersionState.ACTIVE)]
    assert len([entry for entry in trail(target, AuditTrail.MEMBERS) if entry.action == "credential.set"]) == len(USERS)


def test_names_that_differ_only_in_what_a_code_page_folds_stay_apart_through_a_move(system, target):
    move_twins(system, target)
