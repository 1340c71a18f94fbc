"""The steps between schemas: where they lead, what interrupts them, which releases may open what they leave."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from schemas import AtStep1, prepare, tables_of
from sqlalchemy import Column, Integer, event
from sqlalchemy.dialects import mssql, postgresql
from sqlalchemy.schema import ExecutableDDLElement

from keysvc.errors import MappingStoreError, SchemaMismatch
from keysvc.model import Application, ApplicationType, Identity, Mapping, Role, SystemRecord
from keysvc.plugin.changes import UNGUARDED, PutApplication, PutIdentity, PutMapping, PutSystem
from keysvc.stores import schema
from keysvc.stores.migrations import MIGRATIONS
from keysvc.stores.migrations.statements import add_column
from keysvc.stores.sqlite import SQLiteMappingStore

AT = datetime(2026, 2, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOW = len(MIGRATIONS)
SAP = Application("SAP", "0" * 32, ApplicationType.INDIVIDUAL, ())


def one_more_step(connection):
    add_column(connection, "mappings", Column("note", Integer))


class NextRelease(SQLiteMappingStore):
    migrations = (*MIGRATIONS, one_more_step)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mappings.db"


@pytest.fixture
def store(path):
    store = SQLiteMappingStore(path)
    store.prepare()
    store.commit([PutApplication(SAP), PutMapping(Mapping("SAP", "a", "A"))], UNGUARDED)
    yield store
    store.close()


def alter(path, *statements):
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        for statement in statements:
            raw.execute(statement)


# -- where the steps lead --------------------------------------------------------------------------------------------


def test_the_steps_lead_to_the_tables_that_this_release_uses(store, path, tmp_path):
    direct = SQLiteMappingStore(tmp_path / "direct.db")
    (tmp_path / "direct.db").touch()
    with direct._engine.connect() as connection:
        schema.metadata.create_all(connection)
        connection.commit()
    direct.close()
    by_steps = tables_of(path)
    assert by_steps == tables_of(tmp_path / "direct.db")
    assert len(by_steps["credentials"][2]) == 2


@pytest.mark.parametrize("number", range(2, NOW + 1))
def test_a_step_starts_from_the_step_before_and_older_releases_still_insert_rows(path, number):
    class Before(AtStep1):
        migrations = MIGRATIONS[: number - 1]

    class After(AtStep1):
        migrations = MIGRATIONS[:number]

    prepare(Before(path))
    before = tables_of(path)
    alter(
        path, "INSERT INTO identities (name, role, serial, enrolled_at, previous_serial) VALUES ('a', 'b', '', '', '')"
    )
    prepare(After(path))
    for table, (columns, *_) in before.items():
        added = [column for column in tables_of(path)[table][0] if column not in columns]
        assert all(not needed or default is not None for _name, _type, needed, default, _key in added)
    alter(
        path, "INSERT INTO identities (name, role, serial, enrolled_at, previous_serial) VALUES ('b', 'b', '', '', '')"
    )


def test_rows_from_before_step_2_begin_with_revision_1(path):
    prepare(AtStep1(path))
    alter(
        path,
        "INSERT INTO identities (name, role, serial, enrolled_at, previous_serial)"
        " VALUES ('web', 'server', '0a', '2026-01-01T00:00:00+00:00', '')",
        "INSERT INTO enrolments (token_hash, name, role, expires_at)"
        " VALUES ('ab', 'web', 'server', '2026-01-01T00:00:00+00:00')",
    )
    store = SQLiteMappingStore(path)
    store.prepare()
    assert [identity.revision for identity in store.identities()] == [1]
    token = store.enrolment("ab")
    assert (token.revision, token.ended_at) == (1, None)
    store.close()


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mssql.dialect()], ids=["postgresql", "mssql"])
def test_every_step_can_be_written_for_the_other_databases(dialect, tmp_path):
    store = SQLiteMappingStore(tmp_path / "mappings.db")
    definitions = []
    event.listen(store._engine, "before_execute", lambda _connection, element, *_rest: definitions.append(element))
    store.prepare()
    store.close()
    statements = "\n".join(
        str(element.compile(dialect=dialect)) for element in definitions if isinstance(element, ExecutableDDLElement)
    )
    collation = "Latin1_General_100_BIN2" if dialect.name == "mssql" else '"C"'
    assert f"COLLATE {collation}" in statements
    number = "ADD oldest_reader INTEGER NOT NULL" if dialect.name == "mssql" else "ADD COLUMN oldest_reader INTEGER"
    assert f"ALTER TABLE guard {number} DEFAULT 2" in statements


# -- a schema that was changed ---------------------------------------------------------------------------------------

CHANGED = [
    ("ALTER TABLE identities DROP COLUMN revision", "the table identities has no column 'revision'"),
    ("ALTER TABLE mappings RENAME COLUMN enabled TO active", "the table mappings has no column 'enabled'"),
    ("ALTER TABLE servers ADD COLUMN rack INTEGER NOT NULL", "the table servers has a column 'rack'"),
    ("DROP TABLE used_tickets", "there is no table used_tickets"),
]


@pytest.mark.parametrize(("statement", "named"), CHANGED, ids=[statement for statement, _ in CHANGED])
def test_a_schema_that_changed_under_an_unchanged_number_is_a_mismatch(store, path, statement, named):
    alter(path, "DELETE FROM servers", statement)
    other = SQLiteMappingStore(path)
    for call in (other.prepare, other.applications, lambda: other.commit([], UNGUARDED)):
        with pytest.raises(SchemaMismatch, match=named) as caught:
            call()
        assert "backup" not in caught.value.hint
    other.close()


def test_a_schema_that_changes_while_the_store_is_open_is_a_mismatch(store, path):
    store.applications()
    alter(path, "ALTER TABLE mappings RENAME COLUMN enabled TO active")
    with pytest.raises(SchemaMismatch, match="enabled"):
        store.mapping("SAP", "a")


def test_a_column_of_somebody_else_that_needs_no_value_does_no_harm(store, path):
    alter(path, "ALTER TABLE mappings ADD COLUMN remark VARCHAR(9)")
    other = SQLiteMappingStore(path)
    other.commit([PutMapping(Mapping("SAP", "b", "B"))], UNGUARDED)
    other.close()


# -- which releases may open it --------------------------------------------------------------------------------------


def test_a_release_reads_and_writes_a_newer_schema_that_lets_it(store, path):
    newer = NextRelease(path)
    newer.prepare()
    late = SQLiteMappingStore(path)
    late.prepare()
    for name, each in (("web", store), ("late", late)):
        assert each.info().schema_version == NOW + 1
        each.commit([PutIdentity(Identity(name, Role.SERVER, "0a", AT))], UNGUARDED)
        lease = each.grant_lease("one", MINUTE)
        each.release_lease(lease)
    assert newer.info().schema_version == NOW + 1, "the older release took nothing back"
    late.close()
    newer.close()


def test_a_release_refuses_a_schema_whose_oldest_reader_is_newer(store, path):
    prepare(NextRelease(path))
    alter(path, f"UPDATE guard SET oldest_reader = {NOW + 1}")
    late = SQLiteMappingStore(path)
    for call in (late.prepare, late.credentials, lambda: late.commit([], UNGUARDED)):
        with pytest.raises(SchemaMismatch, match=f"nothing below schema {NOW + 1} may open it"):
            call()
    assert late.info().oldest_reader == NOW + 1
    late.close()
    with pytest.raises(SchemaMismatch):  # and so does one that was open before
        store.commit([], UNGUARDED)
    with pytest.raises(SchemaMismatch):
        store.grant_lease("one", MINUTE)


def test_an_older_schema_is_refused_until_it_is_upgraded(path):
    prepare(AtStep1(path))
    store = SQLiteMappingStore(path)
    with pytest.raises(SchemaMismatch, match=f"has schema 1, this keysvc needs schema {NOW}"):
        store.credentials()
    assert (store.info().schema_version, store.info().oldest_reader) == (1, 1)
    store.prepare()
    assert (store.info().schema_version, store.info().oldest_reader) == (NOW, 2)
    store.close()


# -- what is damaged -------------------------------------------------------------------------------------------------


def test_an_empty_guard_row_in_a_database_in_use_is_damage_and_no_empty_database(store, path):
    store.commit([PutSystem(SystemRecord("f" * 32, AT))], UNGUARDED)
    alter(path, "DELETE FROM guard")
    other = SQLiteMappingStore(path)
    for call in (other.prepare, other.applications):
        with pytest.raises(MappingStoreError, match="schema version cannot be read"):
            call()
    other.close()
