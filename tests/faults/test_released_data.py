"""The data of release 0.1.0 on SQLite: opened, upgraded, restored, and upgraded by processes that die."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from pathlib import Path

import pytest
from released_data import BACKUP, PASSPHRASE, Released, kill_upgrades
from schemas import AtStep1, prepare, tables_of

from keysvc.errors import SchemaMismatch
from keysvc.master import backup
from keysvc.stores import sqlite_store

DEATHS = 100 if os.environ.get("KEYSVC_ALL_DEATHS") == "1" else 5


@pytest.fixture
def released(tmp_path: Path) -> Released:
    return Released.on_sqlite(tmp_path / "system")


def test_it_is_refused_until_it_is_upgraded_and_then_all_of_it_is_there(released: Released) -> None:
    with contextlib.closing(released.store()) as store:
        with pytest.raises(SchemaMismatch, match="has schema 1"):
            store.credentials()
        assert store.info().schema_version == 1
        store.prepare()
        assert [identity.revision for identity in store.identities()] == [1, 1, 1, 1]
        assert ("web-01", 1) in {(server.name, server.schema_version) for server in store.servers()}
    released.check()


def test_its_backup_restores_its_master_secret(released: Released) -> None:
    released.prepare()
    shutil.rmtree(released.folder / "secret")
    with contextlib.closing(released.store()) as store, contextlib.closing(released.key_store()) as key_store:
        assert backup.restore(BACKUP, PASSPHRASE, store, key_store) == (1, 2)
    released.check()


def test_step_1_makes_the_tables_that_release_0_1_0_made(released: Released, tmp_path: Path) -> None:
    prepare(AtStep1(tmp_path / "step-1.db"))
    assert tables_of(tmp_path / "step-1.db") == tables_of(released.folder / "keysvc.db")


def test_an_upgrade_that_dies_at_any_line_loses_nothing(tmp_path: Path) -> None:
    numbers = itertools.count()

    def new() -> Released:
        return Released.on_sqlite(tmp_path / str(next(numbers)))

    left = kill_upgrades(new, DEATHS, [sqlite_store])
    assert set(left) <= {"schema 1", "schema 2"}
