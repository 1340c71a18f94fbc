"""What every SQL store shares: upgrades, leases under clocks that jump, rows that somebody else wrote."""

from __future__ import annotations

import contextlib
import sqlite3
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import mssql, postgresql
from sqlalchemy.schema import CreateTable

from keysvc.errors import Conflict, InvalidInput, KeysvcError, MappingStoreError, NotConfigured, SchemaMismatch
from keysvc.model import (
    Application,
    ApplicationType,
    AuditEntry,
    EncryptedCredential,
    Guard,
    Mapping,
    SystemRecord,
    VersionRecord,
    VersionState,
)
from keysvc.plugin.changes import (
    UNGUARDED,
    AppendAudit,
    PutApplication,
    PutCredential,
    PutMapping,
    PutSystem,
    PutVersion,
)
from keysvc.stores import schema
from keysvc.stores.migrations import MIGRATIONS
from keysvc.stores.sqlite import SQLiteMappingStore

AT = datetime(2026, 2, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOW = len(MIGRATIONS)
SAP = Application("SAP", "0" * 32, ApplicationType.INDIVIDUAL, ())


def fill(store):
    store.prepare()
    store.commit(
        [PutSystem(SystemRecord("f" * 32, AT)), PutApplication(SAP), PutMapping(Mapping("SAP", "a", "A"))], UNGUARDED
    )
    store.commit([PutCredential(EncryptedCredential("SAP", "a", 1, b"sealed"))], UNGUARDED)
    store.commit([AppendAudit(AuditEntry(AT, "me", "act", "it"))], UNGUARDED)
    return store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mappings.db"


@pytest.fixture
def store(path):
    store = fill(SQLiteMappingStore(path))
    yield store
    store.close()


def add_a_column(connection):
    connection.execute(text("ALTER TABLE mappings ADD COLUMN note VARCHAR(9)"))


def fail_half_way(connection):
    connection.execute(text("DELETE FROM credentials"))
    connection.execute(text("ALTER TABLE no_such_table ADD COLUMN x VARCHAR(9)"))


class Newer(SQLiteMappingStore):
    migrations = (*MIGRATIONS, add_a_column)


def upgrade(path):
    with contextlib.closing(Newer(path)) as newer:
        newer.prepare()


class Broken(SQLiteMappingStore):
    migrations = (*MIGRATIONS, add_a_column, fail_half_way)


# -- the schema ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files in /proc/self/fd")
def test_a_connection_that_is_in_use_while_the_store_is_closed_is_closed_afterwards(store, path):
    def open_files():
        return [name for name in Path("/proc/self/fd").iterdir() if name.exists() and name.resolve() == path.resolve()]

    def work(connection):
        store.close()
        return connection.scalar(text("SELECT count(*) FROM mappings"))

    assert store._read(work) == 1
    assert open_files() == []
    assert store.applications()
    assert open_files() == [], "nor does a call that comes late keep one open"


def test_an_older_schema_is_upgraded_in_place_and_keeps_its_rows(store, path):
    before = store.mappings("SAP"), store.credentials(), store.system()
    newer = Newer(path)
    with pytest.raises(SchemaMismatch, match=f"schema {NOW}, this keysvc needs schema {NOW + 1}"):
        newer.credentials()
    newer.prepare()
    newer.prepare()
    assert newer.info().schema_version == NOW + 1
    assert (newer.credentials(), newer.system()) == before[1:]
    with newer._engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM mappings WHERE note IS NULL")) == 1
    newer.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(store, path):
    broken = Broken(path)
    with pytest.raises(MappingStoreError):
        broken.prepare()
    broken.close()
    assert store.info().schema_version == NOW
    assert len(store.credentials()) == 1
    upgrade(path)  # the column of the step before had gone with it


def test_an_empty_file_is_not_configured(path):
    path.touch()
    store = SQLiteMappingStore(path)
    with pytest.raises(NotConfigured):
        store.versions()
    store.close()


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mssql.dialect()], ids=["postgresql", "mssql"])
def test_every_table_can_be_written_for_the_other_databases(dialect):
    statements = {t.name: str(CreateTable(t).compile(dialect=dialect)) for t in schema.metadata.sorted_tables}
    collation = "Latin1_General_100_BIN2" if dialect.name == "mssql" else '"C"'
    assert f"COLLATE {collation}" in statements["mappings"]
    assert ("DATETIME2(6)" if dialect.name == "mssql" else "TIMESTAMP") in statements["audit"]


# -- leases and clocks -----------------------------------------------------------------------------------------------


class Jumping(SQLiteMappingStore):
    now = AT

    def _now(self, connection):
        return type(self).now


@pytest.fixture
def jumping(path):
    Jumping.now = AT
    store = fill(Jumping(path))
    yield store
    store.close()


def test_the_database_says_what_time_it_is(store):
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    lease = store.grant_lease("one", timedelta(0))
    assert before <= lease.expires_at <= datetime.now(UTC)


def test_a_lease_is_in_force_until_its_very_end(jumping):
    lease = jumping.grant_lease("one", MINUTE)
    assert lease.expires_at == AT + MINUTE
    Jumping.now = AT + MINUTE - timedelta(microseconds=1)
    assert jumping.lease() == lease
    assert jumping.grant_lease("two", MINUTE) is None
    Jumping.now = AT + MINUTE
    assert jumping.lease() is None
    assert jumping.grant_lease("two", MINUTE).epoch == 2


def test_when_the_clock_jumps_forward_the_lease_ends_and_the_epoch_protects(jumping):
    lease = jumping.grant_lease("one", MINUTE)
    Jumping.now = AT + timedelta(days=365)
    assert jumping.renew_lease(lease, MINUTE).epoch == lease.epoch  # nobody took it
    Jumping.now += 2 * MINUTE
    assert jumping.grant_lease("two", MINUTE).epoch == 2
    with pytest.raises(KeysvcError, match="epoch 1 is over"):
        jumping.renew_lease(lease, MINUTE)


def test_when_the_clock_jumps_back_the_lease_counts_as_ended(jumping):
    jumping.grant_lease("one", MINUTE)
    Jumping.now = AT - timedelta(days=365)
    assert jumping.lease() is None
    assert jumping.grant_lease("two", MINUTE).epoch == 2
    with pytest.raises(KeysvcError, match="epoch 1 is over"):
        jumping.commit([], Guard(epoch=1))


def test_a_ttl_of_fractions_of_a_millisecond_is_in_force_at_once(jumping):
    assert jumping.grant_lease("one", timedelta(microseconds=1500)) == jumping.lease() is not None


# -- rows that keysvc did not write ----------------------------------------------------------------------------------

TAMPERED = [
    ("UPDATE applications SET fields = '{torn'", lambda s: s.application("SAP"), "applications"),
    ("UPDATE applications SET flags = '[1]'", lambda s: s.applications(), "applications"),
    ("UPDATE applications SET type = 'other'", lambda s: s.applications(), "applications"),
    ("UPDATE mappings SET enabled = 7", lambda s: s.mapping("SAP", "a"), "mappings"),
    ("UPDATE mappings SET revision = 'many'", lambda s: s.mappings("SAP"), "mappings"),
    ("UPDATE mappings SET external_user = x'00ff'", lambda s: s.mappings("SAP"), "mappings"),
    ("UPDATE credentials SET ciphertext = 'text'", lambda s: s.credential("SAP", "a"), "credentials"),
    ("UPDATE credentials SET version = 1.5", lambda s: s.credentials(), "credentials"),
    ("UPDATE system SET created_at = 'yesterday'", lambda s: s.system(), "system"),
    ("UPDATE system SET settings = 'null'", lambda s: s.system(), "system"),
    ("UPDATE audit SET detail = '{\"a\": [1]}'", lambda s: s.audit(), "audit"),
    ("UPDATE audit SET at = 17", lambda s: s.audit(), "audit"),
    ("UPDATE guard SET epoch = 'x'", lambda s: s.commit([], UNGUARDED), "guard"),
    ("UPDATE guard SET lease_expires_at = 'x'", lambda s: s.grant_lease("one", MINUTE), "guard"),
    ("DELETE FROM guard", lambda s: s.epoch(), "guard"),
    ("UPDATE audit SET subject = CAST(x'ff41' AS TEXT)", lambda s: s.audit(), "mappings.db"),
]


@pytest.mark.parametrize(("statement", "call", "named"), TAMPERED, ids=[statement for statement, _, _ in TAMPERED])
def test_a_row_that_keysvc_cannot_have_written_is_named(store, path, statement, call, named):
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(statement)
    raw.close()
    with pytest.raises(MappingStoreError) as caught:
        call(store)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "database" in caught.value.hint


# -- refusals --------------------------------------------------------------------------------------------------------


def test_an_error_shows_no_parameters_not_even_in_its_traceback(store):
    secret = b"SECRET-CIPHERTEXT"
    with pytest.raises(InvalidInput) as caught:
        store.commit([PutCredential(EncryptedCredential("SAP", "a", 2**70, secret, revision=1))], UNGUARDED)
    shown = "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in shown
    assert "sqlalchemy.exc" not in shown


@pytest.mark.parametrize(
    "change",
    [PutApplication(Application("", "0" * 32, ApplicationType.GROUP, ())), PutMapping(Mapping("SAP", "", "A"))],
)
def test_an_empty_name_is_refused_because_no_page_would_show_it(store, change):
    with pytest.raises(InvalidInput):
        store.commit([change], UNGUARDED)


def test_a_time_without_a_zone_is_refused(store):
    with pytest.raises(InvalidInput):
        store.commit([AppendAudit(AuditEntry(datetime(2026, 1, 1), "me", "act", "it"))], UNGUARDED)


def test_another_system_never_takes_the_database_over(store):
    with pytest.raises(Conflict):
        store.commit([PutSystem(SystemRecord("e" * 32, AT))], UNGUARDED)
    assert store.system().system_id == "f" * 32


def test_a_version_number_never_comes_to_mean_another_secret(store):
    store.commit([PutVersion(VersionRecord(1, VersionState.ACTIVE, AT, "aa"))], UNGUARDED)
    with pytest.raises(Conflict):
        store.commit([PutVersion(VersionRecord(1, VersionState.ACTIVE, AT, "bb"))], UNGUARDED)


def test_an_application_made_again_is_another_one(store):
    with pytest.raises(Conflict):
        store.commit([PutApplication(Application("SAP", "1" * 32, ApplicationType.GROUP, (), revision=1))], UNGUARDED)


def test_a_change_that_the_store_does_not_know_is_refused_whole(store):
    with pytest.raises(MappingStoreError, match="does not know object"):
        store.commit([PutMapping(Mapping("SAP", "b", "B")), object()], UNGUARDED)
    assert len(store.mappings("SAP")) == 1
