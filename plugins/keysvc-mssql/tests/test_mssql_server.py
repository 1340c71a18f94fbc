"""What SQL Server and the network do to a store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from keysvc.plugin import UNGUARDED, InvalidInput, PutApplication
from keysvc.testing.mapping_store_races import at_once
from keysvc.testing.mapping_store_samples import MINUTE, an_application, users

ADD_ONE = text("UPDATE mappings SET external_user = external_user + '+' WHERE [user] = :user")


class CutAt:
    """Has the server end the connection before the n-th statement, once."""

    def __init__(self, other, store, number: int) -> None:
        self.other, self.left, self.done = other, number, False
        event.listen(store._engine, "before_cursor_execute", self.statement)

    def statement(self, connection, _cursor, statement, *_) -> None:
        if statement.startswith("SELECT @@SPID"):
            return
        self.left -= 1
        if self.left == 0:
            self.done = True
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


def test_a_connection_that_is_killed_at_any_statement_of_a_commit_costs_nothing(open_store, filled):
    for number in range(1, 100):
        own = open_store()
        own.epoch()
        cut = CutAt(filled, own, number)
        own.commit(users(f"u{number}"), UNGUARDED)
        own.close()
        if not cut.done:
            break
    assert number > 5
    assert len(filled.mappings("SAP")) == 2 + number


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


def test_no_statement_runs_outside_a_transaction_that_was_begun_and_none_is_rolled_back_without_one(filled):
    statements = []
    event.listen(
        filled._engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: statements.append(statement.strip())
    )
    filled.commit(users("carol"), UNGUARDED)
    with pytest.raises(InvalidInput):
        filled.commit(users("dave "), UNGUARDED)
    assert (statements[0], statements.count("BEGIN TRANSACTION"), statements.count("COMMIT TRANSACTION")) == (
        "BEGIN TRANSACTION",
        2,
        1,
    )
    assert statements[-1] == "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
