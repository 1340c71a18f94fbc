"""The data of release 0.1.0 on PostgreSQL: opened, upgraded, restored, and upgraded by processes that die."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil

import keysvc_postgresql.store
import pytest
from released_data import BACKUP, PASSPHRASE, Released, kill_upgrades

from keysvc.master import backup
from keysvc.plugin import SchemaMismatch

DEATHS = 100 if os.environ.get("KEYSVC_ALL_DEATHS") == "1" else 5


@pytest.fixture
def released(tmp_path, server):
    return Released.on_postgresql(tmp_path / "system", server)


def test_it_is_refused_until_it_is_upgraded_and_then_all_of_it_is_there(released):
    with contextlib.closing(released.store()) as store:
        with pytest.raises(SchemaMismatch, match="has schema 1"):
            store.credentials()
        store.prepare()
        assert [identity.revision for identity in store.identities()] == [1, 1, 1, 1]
    released.check()


def test_its_backup_restores_its_master_secret(released):
    released.prepare()
    shutil.rmtree(released.folder / "secret")
    with contextlib.closing(released.store()) as store, contextlib.closing(released.key_store()) as key_store:
        assert backup.restore(BACKUP, PASSPHRASE, store, key_store) == (1, 2)
    released.check()


def test_a_schema_that_changed_under_an_unchanged_number_is_a_mismatch(released, server):
    released.prepare()
    server.query("ALTER TABLE identities DROP COLUMN revision", released.url.rpartition("/")[2])
    with contextlib.closing(released.store()) as store:
        for call in (store.prepare, store.identities):
            with pytest.raises(SchemaMismatch, match="the table identities has no column 'revision'"):
                call()


def test_the_steps_lead_from_release_0_1_0_to_the_tables_of_a_new_store(released, server):
    released.prepare()
    new = server.new_database()
    with contextlib.closing(type(released)(released.folder, new).store()) as store:
        store.prepare()
    columns = """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default, collation_name
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
    """
    indexes = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
    for query in (columns, indexes):
        upgraded, made = (server.query(query, url.rpartition("/")[2]) for url in (released.url, new))
        assert upgraded == made
        assert len(made.splitlines()) >= 20


def test_an_upgrade_that_dies_at_any_line_loses_nothing(tmp_path, server):
    numbers = itertools.count()

    def new() -> Released:
        return Released.on_postgresql(tmp_path / str(next(numbers)), server)

    left = kill_upgrades(new, DEATHS, [keysvc_postgresql.store])
    assert set(left) <= {"schema 1", "schema 2"}
