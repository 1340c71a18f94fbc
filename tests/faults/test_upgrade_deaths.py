"""SIGKILL at every statement of what creates or upgrades the tables."""

from __future__ import annotations

import os
import shutil

import pytest
from schemas import AtStep1, CommitsEachDefinition, prepare, tables_of
from sqlalchemy import insert

from keysvc.errors import NotConfigured
from keysvc.stores.migrations import MIGRATIONS
from keysvc.stores.migrations.step_1 import audit_heads, guard, metadata as tables_of_0_1
from keysvc.stores.sqlite import SQLiteMappingStore
from keysvc.testing.deaths import die_at_every_statement
from keysvc.testing.mapping_store import MappingStoreConformance
from keysvc.testing.mapping_store_samples import check_every_kind_of_row

WHOLE = os.environ.get("KEYSVC_ALL_DEATHS") == "1"


@pytest.mark.parametrize("kind", [SQLiteMappingStore, CommitsEachDefinition])
@pytest.mark.parametrize("begun_at", [0, 1])
def test_a_prepare_can_die_at_every_statement_and_the_next_one_finishes_it(tmp_path, kind, begun_at):
    whole, begun, path = (tmp_path / f"{name}.db" for name in ("whole", "begun", "dying"))
    for store in (SQLiteMappingStore(whole), *[AtStep1(begun)] * begun_at):
        prepare(store)
    states = set()

    def finish(_death):
        store = kind(path)
        states.add(store.info().schema_version)
        store.prepare()
        check_every_kind_of_row(store)
        store.close()
        assert tables_of(path) == tables_of(whole)
        path.unlink()
        if begun_at:
            shutil.copy(begun, path)

    if begun_at:
        shutil.copy(begun, path)
    assert die_at_every_statement(lambda: prepare(kind(path)), finish, step=1 if WHOLE else 3) >= 4
    assert states == ({begun_at} if kind is SQLiteMappingStore else {begun_at, 1})


def test_an_unfinished_store_says_not_configured(tmp_path):
    path = tmp_path / "mappings.db"
    store = CommitsEachDefinition(path)
    path.touch()
    store._transaction(tables_of_0_1.create_all)
    assert store.info().schema_version == 0
    with pytest.raises(NotConfigured):
        store.applications()
    store.prepare()
    check_every_kind_of_row(store)
    store.close()


# -- what the conformance suite says of stores that are left damaged -----------------------------------------------


def create_once(connection):
    """As step 1 was in release 0.1: it fails where a table is there already."""
    tables_of_0_1.create_all(connection, checkfirst=False)
    rows = [{"trail": trail, **dict.fromkeys(NUMBERS, 0), **dict.fromkeys(LINKS, b"")} for trail in TRAILS]
    connection.execute(insert(audit_heads), rows)
    first = {"id": 1, "schema_version": 1, "epoch": 0, "lease_ttl_ms": 0, "first_revision": 1}
    connection.execute(insert(guard), first)


NUMBERS = ("base_sequence", "sequence", "sealed_sequence", "sealed_version")
LINKS = ("base_link", "link", "sealed_link", "mac")
TRAILS = ("changes", "deleted-applications", "deleted-mappings", "lookups")


class LeavesHalfOfItsTables(CommitsEachDefinition):
    migrations = (create_once, *MIGRATIONS[1:])


def check_by_the_suite(kind, path):
    MappingStoreConformance().test_a_prepare_that_dies_anywhere_is_finished_by_the_next(lambda: kind(path))


def test_the_suite_finds_a_store_that_a_death_leaves_damaged(tmp_path):
    with pytest.raises(AssertionError, match="the child ended with status 1"):
        check_by_the_suite(LeavesHalfOfItsTables, tmp_path / "mappings.db")


def test_the_suite_passes_a_store_that_commits_each_definition_and_goes_on(tmp_path):
    check_by_the_suite(CommitsEachDefinition, tmp_path / "mappings.db")
