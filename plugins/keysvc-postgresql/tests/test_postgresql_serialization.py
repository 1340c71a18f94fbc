"""Serialization failures and deadlocks at every statement, as distributed SQL engines give them: all are repeated."""

from __future__ import annotations

import itertools
from collections import abc
from dataclasses import replace
from datetime import timedelta

import pytest
from keysvc_postgresql.store import PostgreSQLMappingStore
from postgresql_server import PostgreSQLServer
from sqlalchemy import event

from keysvc.plugin import (
    UNGUARDED,
    AppendAudit,
    AppendEvent,
    AuditEntry,
    DeleteMapping,
    Event,
    Guard,
    PutApplication,
    PutCredential,
    PutVersion,
    Reencrypt,
    VersionState,
)
from keysvc.testing.mapping_store_samples import AT, a_version, an_application, users

TTL = timedelta(minutes=5)
STATES = ("40001", "40P01")
NOTE = AppendAudit(AuditEntry(AT, "me", "act", "it"))
NEVER = 0

Operation = abc.Callable[[PostgreSQLMappingStore], object]


def _master_writes(store: PostgreSQLMappingStore) -> None:
    """Everything that a master does with its lease, from the grant to the release."""
    lease = store.grant_lease("me", TTL)
    assert lease is not None
    renewed = store.renew_lease(lease, TTL)
    store.commit([PutVersion(a_version(2, VersionState.ANNOUNCED)), NOTE], Guard(epoch=lease.epoch))
    moved = [
        PutVersion(a_version(1, VersionState.RETIRING)),
        PutVersion(a_version(2, VersionState.ACTIVE)),
        AppendEvent(Event("1", "version.activated", AT, {})),
    ]
    store.commit(moved, Guard(epoch=lease.epoch))
    rows = [replace(row, version=2, ciphertext=b"\x02sealed") for row in store.credentials(under=1)]
    store.commit([Reencrypt(tuple(rows))], Guard(lease.epoch, a_version(2, VersionState.ACTIVE).id))
    store.release_lease(renewed)


def _user_writes(store: PostgreSQLMappingStore) -> None:
    """What an SSO server does for a user, each change in a commit of its own."""
    active = store.versions().require_active()
    store.commit([*users("carol"), NOTE], UNGUARDED)
    row = store.credential("SAP", "carol")
    assert row is not None
    store.commit(
        [PutCredential(replace(row, version=active.version, ciphertext=b"\x03sealed")), NOTE],
        Guard(active_version=active.id),
    )
    store.commit([DeleteMapping("SAP", "carol"), NOTE], UNGUARDED)


def _reads(store: PostgreSQLMappingStore) -> None:
    """What status, lookups and listings ask."""
    assert len(store.mappings("SAP")) == len(store.credentials())
    assert store.application("SAP") is not None
    assert store.rows_by_version()
    store.lease(), store.audit(), store.identities(), store.servers()


class UndoneAt:
    """The server itself fails the n-th statement, once; it then refuses the rest of the transaction."""

    def __init__(self, store: PostgreSQLMappingStore, number: int, state: str) -> None:
        self.left, self.done = number, False
        self._failure = f"DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'; END $$"
        event.listen(store._engine, "before_cursor_execute", self.statement, retval=True)

    def statement(self, connection, cursor, statement, parameters, context, executemany) -> tuple[str, object]:
        self.left -= 1
        if self.left:
            return statement, parameters
        self.done = True
        return self._failure, [()] if executemany else ()


@pytest.fixture
def template(server: PostgreSQLServer) -> str:
    """The name of a database with two credentials under version 1."""
    url = server.new_database()
    store = PostgreSQLMappingStore(url)
    store.prepare()
    store.commit([PutVersion(a_version(1, VersionState.ACTIVE))], UNGUARDED)
    store.commit([PutApplication(an_application()), *users("alice", "bob")], UNGUARDED)
    store.close()
    return url


def _state_of(store: PostgreSQLMappingStore) -> object:
    rows = [(row.user, row.version, row.ciphertext) for row in store.credentials()]
    states = [(record.version, record.state) for record in store.versions()]
    return rows, states, len(store.audit()), store.epoch()


def _disturbed(server: PostgreSQLServer, template: str, operation: Operation, number: int, state: str) -> object:
    """What is in a copy of the database after the operation; None when it has no statement of that number."""
    store = PostgreSQLMappingStore(server.copy_database(template))
    undone = UndoneAt(store, number, state)
    operation(store)
    reached = undone.done
    event.remove(store._engine, "before_cursor_execute", undone.statement)
    found = _state_of(store)
    store.close()
    return found if reached or number == NEVER else None


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", [_master_writes, _user_writes, _reads], ids=lambda each: each.__name__.strip("_"))
def test_what_the_database_undoes_at_any_statement_is_repeated(
    server: PostgreSQLServer, template: str, operation: Operation, state: str
) -> None:
    undisturbed = _disturbed(server, template, operation, NEVER, state)
    for number in itertools.count(1):
        found = _disturbed(server, template, operation, number, state)
        if found is None:
            break
        assert found == undisturbed, f"statement {number}"
    assert number > 3


@pytest.mark.parametrize("state", STATES)
def test_what_the_database_undoes_at_the_commit_is_repeated(
    server: PostgreSQLServer, template: str, state: str
) -> None:
    store = PostgreSQLMappingStore(server.copy_database(template))
    failures = [f"DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'; END $$"]
    event.listen(store._engine, "commit", lambda connection: failures and connection.exec_driver_sql(failures.pop()))
    store.commit([*users("carol"), NOTE], UNGUARDED)
    assert not failures
    assert [mapping.user for mapping in store.mappings("SAP")] == ["alice", "bob", "carol"]
    assert len(store.audit()) == 1
    store.close()
