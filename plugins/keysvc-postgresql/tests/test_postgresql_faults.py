"""What PostgreSQL and the network do to a store: cut connections, deadlocks, paused clients, restarts, kill -9."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from keysvc_postgresql.store import PostgreSQLMappingStore
from sqlalchemy import event, text

from keysvc.plugin import (
    UNGUARDED,
    AppendAudit,
    AppendEvent,
    AuditEntry,
    DeleteMapping,
    Event,
    Fenced,
    Guard,
    InvalidInput,
    KeysvcError,
    Mapping,
    MappingStoreUnavailable,
    PutApplication,
    PutMapping,
)
from keysvc.testing.mapping_store_races import at_once
from keysvc.testing.mapping_store_samples import AT, MINUTE, an_application, users

ADD_ONE = text("UPDATE mappings SET external_user = external_user || '+' WHERE \"user\" = :user")
PAGE = text("EXPLAIN SELECT * FROM mappings WHERE application = 'SAP' AND \"user\" > 'u01' ORDER BY \"user\" LIMIT 5")
FORBIDDEN = ("DELETE FROM audit_heads", "UPDATE audit SET subject = 'x'", "DROP TABLE audit", "CREATE TABLE x (y int)")
NOTE = AppendAudit(AuditEntry(AT, "me", "act", "it"))


@pytest.fixture
def store(url):
    store = PostgreSQLMappingStore(url)
    store.prepare()
    store.commit([PutApplication(an_application()), *users("alice", "bob")], UNGUARDED)
    yield store
    store.close()


def cut(server, connection) -> None:
    """End the connection on the server's side, as a failing network or an administrator would."""
    process = connection.connection.dbapi_connection.info.backend_pid
    server.query(f"SELECT pg_terminate_backend({process}, 5000)")


class CutAt:
    """Cuts the connection before the n-th statement, once."""

    def __init__(self, server, store, number: int) -> None:
        self.server, self.left, self.done = server, number, False
        event.listen(store._engine, "before_cursor_execute", self.statement)

    def statement(self, connection, cursor, statement, parameters, context, executemany) -> None:
        self.left -= 1
        if self.left == 0:
            self.done = True
            cut(self.server, connection)


def test_a_connection_that_is_cut_at_any_statement_of_a_commit_costs_nothing(server, url, store):
    for number in range(1, 100):
        own = PostgreSQLMappingStore(url)
        own.epoch()
        cutting = CutAt(server, own, number)
        own.commit([*users(f"u{number}"), NOTE], UNGUARDED)
        own.close()
        if not cutting.done:
            break
    assert number > 5
    assert [mapping.user for mapping in store.mappings("SAP")] == sorted(
        ["alice", "bob", *(f"u{made}" for made in range(1, number + 1))]
    )
    assert len(store.audit()) == number


def test_a_connection_that_is_cut_while_committing_is_said_and_leaves_all_or_nothing(server, store):
    event.listen(store._engine, "commit", lambda connection: cut(server, connection), once=True)
    with pytest.raises(MappingStoreUnavailable, match="while a change was being committed") as caught:
        store.commit([*users("carol"), NOTE], UNGUARDED)
    assert "not known" in caught.value.hint
    assert (len(store.mappings("SAP")), len(store.audit())) in {(2, 0), (3, 1)}
    store.commit(users("dave"), UNGUARDED)


def test_a_pool_survives_a_restart_of_the_database(server, store):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: store.epoch(), range(8)))
    server.restart()
    assert len(store.mappings("SAP")) == 2
    store.commit(users("carol"), UNGUARDED)
    assert len(store.mappings("SAP")) == 3


def test_while_the_database_is_down_every_call_is_one_clear_error_and_afterwards_all_work(server, store):
    server.stop()
    try:
        for call in (store.epoch, lambda: store.commit(users("carol"), UNGUARDED)):
            with pytest.raises(MappingStoreUnavailable) as caught:
                call()
            assert "\n" not in str(caught.value)
    finally:
        server.start()
    store.commit(users("carol"), UNGUARDED)


def test_deadlocks_are_repeated_until_both_have_written(url, store):
    impatient = url + "?options=-c%20deadlock_timeout%3D20ms"

    def count_up(order: tuple[str, ...]) -> None:
        own = PostgreSQLMappingStore(impatient)
        for _ in range(10):
            with_both(own, order)
        own.close()

    def with_both(own, order) -> None:
        def change(connection, _row) -> None:
            for user in order:
                connection.execute(ADD_ONE, {"user": user})

        own._write(change, exclusive=False)

    store.commit([PutMapping(replace(m, external_user="")) for m in store.mappings("SAP")], UNGUARDED)
    at_once([lambda: count_up(("alice", "bob")), lambda: count_up(("bob", "alice"))])
    assert {mapping.external_user for mapping in store.mappings("SAP")} == {"+" * 20}


def test_a_master_that_is_paused_in_the_middle_of_a_transaction_keeps_nobody_out(url, store):
    paused = PostgreSQLMappingStore(url + "?options=-c%20idle_in_transaction_session_timeout%3D300ms")
    lease = paused.grant_lease("paused", timedelta(milliseconds=1))
    entered, resume = threading.Event(), threading.Event()

    def pause(connection, row) -> None:
        entered.set()
        assert resume.wait(30)
        paused._check_guard(row, Guard(epoch=lease.epoch))
        connection.execute(text("DELETE FROM credentials"))

    with ThreadPoolExecutor(1) as thread:
        stopped = thread.submit(lambda: paused._write(pause, exclusive=True))
        assert entered.wait(30)
        assert store.grant_lease("next", MINUTE).epoch == lease.epoch + 1
        resume.set()
        with pytest.raises(Fenced):
            stopped.result()
    assert len(store.credentials()) == 2
    paused.close()


def test_a_session_is_read_committed_whatever_the_database_says(server, url, store):
    database = url.rpartition("/")[2]
    server.query(f"ALTER DATABASE {database} SET default_transaction_isolation TO serializable")
    own = PostgreSQLMappingStore(url + "?options=-c%20default_transaction_isolation%3Dserializable")
    own.commit(users("carol"), UNGUARDED)
    with own._engine.connect() as connection:
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
    own.close()


def test_a_value_that_postgresql_cannot_keep_is_refused_whole(store):
    with pytest.raises(InvalidInput):
        store.commit([*users("carol"), PutApplication(an_application("ERP", description="a\0b"))], UNGUARDED)
    assert len(store.mappings("SAP")) == 2


def test_a_role_that_may_not_write_is_told_so_in_one_line(server, url, store):
    database = url.rpartition("/")[2]
    server.query("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    server.query("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database)
    reader = PostgreSQLMappingStore(url.replace("postgres@", "reader@"))
    assert len(reader.mappings("SAP")) == 2
    with pytest.raises(KeysvcError, match="permission denied for table") as caught:
        reader.commit(users("carol"), UNGUARDED)
    assert "\n" not in str(caught.value)
    reader.close()


def test_a_mapping_is_found_by_an_index_however_many_there_are(store):
    store.commit([PutMapping(Mapping("SAP", f"u{number:05}", "shared")) for number in range(2000)], UNGUARDED)
    with store._engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        plan = connection.execute(PAGE).scalars().all()
    assert "Index Scan" in " ".join(plan)


def test_the_roles_of_the_documentation_suffice_and_the_service_cannot_change_the_audit_trail(server, url):
    database, folder = url.rpartition("/")[2], Path(__file__).parents[1] / "sql"
    server.query((folder / "roles.sql").read_text("utf-8"), database)
    owner = PostgreSQLMappingStore(url.replace("postgres@", "keysvc_owner@"))
    owner.prepare()
    owner.close()
    server.query((folder / "grants.sql").read_text("utf-8"), database)
    service = PostgreSQLMappingStore(url.replace("postgres@", "keysvc@"))
    service.prepare()  # what `keysvc serve` does
    service.commit([PutApplication(an_application()), *users("alice"), NOTE], UNGUARDED)
    assert service.grant_lease("one", MINUTE).epoch == 1
    service.commit([DeleteMapping("SAP", "alice"), AppendEvent(Event("1", "k", AT, {}))], Guard(epoch=1))
    for forbidden in FORBIDDEN:
        with pytest.raises(KeysvcError, match=r"permission denied|must be owner"):
            service._write(lambda connection, _row, sql=forbidden: connection.execute(text(sql)), exclusive=False)
    service.close()
