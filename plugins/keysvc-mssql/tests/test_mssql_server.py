"""What SQL Server and the network do to a store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from rows import move_twins
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from systems import configured

from keysvc.plugin import UNGUARDED, AppendAudit, AuditEntry, MappingStoreUnavailable, PutApplication
from keysvc.testing.mapping_store_races import at_once
from keysvc.testing.mapping_store_samples import AT, MINUTE, an_application, users

NOTE = AppendAudit(AuditEntry(AT, "me", "act", "it"))
ADD_ONE = text("UPDATE mappings SET external_user = external_user + '+' WHERE [user] = :user")


class CutAt:
    """Has the server end the connection before the n-th statement, once."""

    def __init__(self, other, store, number: int) -> None:
        self.other, self.left, self.done, self.at = other, number, False, ""
        event.listen(store._engine, "before_cursor_execute", self.statement)

    def statement(self, connection, _cursor, statement, *_) -> None:
        if statement.startswith("SELECT @@SPID"):
            return
        self.left -= 1
        if self.left == 0:
            self.done, self.at = True, statement
            kill(self.other, connection.exec_driver_sql("SELECT @@SPID").scalar())


def kill(store, session: int) -> None:
    """Skips where the login may not."""
    try:
        with store._engine.connect() as connection:
            connection.exec_driver_sql(f"KILL {session}")
    except DBAPIError as error:
        pytest.skip(f"this login may not KILL: {error.orig}")


@pytest.fixture
def filled(store):
    store.commit([PutApplication(an_application()), *users("alice", "bob")], UNGUARDED)
    return store


def test_a_connection_that_is_killed_at_any_statement_before_the_commit_costs_nothing(open_store, filled):
    committing = []
    for number in range(1, 100):
        own = open_store()
        own.epoch()
        cut = CutAt(filled, own, number)
        try:
            own.commit([*users(f"u{number}"), NOTE], UNGUARDED)
        except MappingStoreUnavailable:
            committing.append((number, cut.at))
        own.close()
        if not cut.done:
            break
    assert number > 4
    assert [at for _, at in committing] == ["COMMIT TRANSACTION"], "whether it was made cannot be known"
    users_there = {mapping.user for mapping in filled.mappings("SAP")}
    assert users_there >= {f"u{made}" for made in range(1, number + 1) if made != committing[0][0]}
    assert len(filled.audit()) == len(users_there) - 2


def test_deadlocks_are_repeated_until_both_have_written(open_store, filled):
    def count_up(order: tuple[str, ...]) -> None:
        own = open_store()

        def change(connection, _row) -> None:
            for user in order:
                connection.execute(ADD_ONE, {"user": user})

        for _ in range(10):
            own._write(change, exclusive=False)
        own.close()

    at_once([lambda: count_up(("alice", "bob")), lambda: count_up(("bob", "alice"))])
    assert {mapping.external_user.count("+") for mapping in filled.mappings("SAP")} == {20}


def test_writers_share_the_guard_and_a_grant_waits_for_them(open_store, filled):
    entered, leave = threading.Barrier(3), threading.Event()

    def write() -> None:
        own = open_store()
        own._write(lambda _connection, _row: (entered.wait(20), leave.wait(20)), exclusive=False)
        own.close()

    with ThreadPoolExecutor(3) as threads:
        writers = [threads.submit(write) for _ in range(2)]
        entered.wait(20)  # both hold it at once
        granted = threads.submit(lambda: filled.grant_lease("one", MINUTE))
        assert not granted.done()
        leave.set()
        assert granted.result(20).epoch == 1
        for writer in writers:
            writer.result(20)


def test_names_that_differ_only_in_what_a_code_page_folds_stay_apart_through_a_move(tmp_path, open_store):
    system, there = configured(tmp_path), open_store()
    move_twins(system, there)
    there.close()
    system.close()
