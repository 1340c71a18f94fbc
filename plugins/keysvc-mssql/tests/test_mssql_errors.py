"""What SQL Server refuses, by the numbers of its errors, as they come through Microsoft's own library."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from keysvc_mssql.refusals import NUMBERS, Refusal
from sql_server_answers import Database, opened
from tds_recorder import HANG_UP, Call, Failure, Recorder

from keysvc.plugin import (
    UNGUARDED,
    AppendAudit,
    AuditEntry,
    ConfigurationError,
    Mapping,
    MappingStoreError,
    MappingStoreUnavailable,
    PutMapping,
)
from keysvc.stores import sql_database
from keysvc.testing.mapping_store_samples import AT, MINUTE

CHANGES = [PutMapping(Mapping("SAP", "Łukasz", "L")), AppendAudit(AuditEntry(AT, "me", "act", "it"))]
PERMISSION_DENIED, INVALID_COLUMN = 229, 207


class Refusing:
    """Answers each statement with an error, once or for as long as it lasts."""

    def __init__(self, number: int, times: int = 10**6) -> None:
        self.number, self.left, self.only = number, times, ""

    def __call__(self, call: Call):
        if self.left <= 0 or self.only not in call.sql or "ROLLBACK" in call.sql:
            return None
        self.left -= 1
        return [Failure(self.number, "what the server says")]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(sql_database, "PAUSES", (0.0, 0.0))


@pytest.fixture
def database():
    return Database()


@pytest.fixture
def recorder(database):
    made = Recorder(database)
    yield made
    made.close()


@pytest.fixture
def store(recorder):
    made = opened(recorder)
    made.epoch()
    yield made
    made.close()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lookup_that_the_server_refuses_with_this_number_finds_the_store_unavailable(store, database, number):
    database.instead = Refusing(number)
    with pytest.raises(MappingStoreUnavailable, match="what the server says"):
        store.look_up("SAP", "Łukasz")
    database.instead = Refusing(number, 0)
    assert store.epoch() == 1, "and it is back as soon as the server is"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_commit_that_the_server_refuses_with_this_number_finds_the_store_unavailable(store, database, number):
    for at in ("sp_getapplock", "INSERT INTO [mappings]", "INSERT INTO [audit]", "COMMIT"):
        database.instead = Refusing(number)
        database.instead.only = at
        with pytest.raises(MappingStoreUnavailable):
            store.commit(CHANGES, UNGUARDED)
    database.instead.left = 0
    store.commit(CHANGES, UNGUARDED)


@pytest.mark.parametrize("number", [number for number, (kind, _) in NUMBERS.items() if kind is not Refusal.BUSY])
def test_what_may_succeed_at_once_is_repeated_before_anybody_notices(store, database, number):
    database.instead = Refusing(number, 1)
    assert store.grant_lease("one", MINUTE).epoch == 2


def test_the_readme_lists_every_number_and_what_it_does():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    listed = {int(found[1]): found[2] for found in re.finditer(r"^\| (\d+) \| .* \| (\w+)", readme, re.MULTILINE)}
    assert listed == {number: kind.value.split()[0].strip(":") for number, (kind, _) in NUMBERS.items()}


def three_at_once(store) -> set[object]:
    held = [store._engine.connect() for _ in range(3)]
    found = {each.connection.dbapi_connection for each in held}
    for each in held:
        each.close()
    return found


@pytest.mark.parametrize("number", [922, 3906, 40613, 1205, 40501])
def test_only_a_database_that_is_elsewhere_empties_the_pool(store, database, number):
    before = three_at_once(store)
    database.instead = Refusing(number, 1)
    try:
        store.epoch()
    except MappingStoreUnavailable:
        assert NUMBERS[number][0] is Refusal.BUSY
    kept = before & three_at_once(store)
    assert (not kept) is (NUMBERS[number][0] is Refusal.ELSEWHERE)


def test_an_error_of_ours_is_not_taken_for_an_outage(store, database):
    for number in (PERMISSION_DENIED, INVALID_COLUMN):
        database.instead = Refusing(number)
        with pytest.raises(MappingStoreError) as caught:
            store.look_up("SAP", "Łukasz")
        assert not isinstance(caught.value, MappingStoreUnavailable)


@pytest.mark.parametrize("number", [*NUMBERS, 18456])
def test_a_login_that_is_refused_finds_the_store_unavailable(recorder, number):
    recorder.login = Failure(number, "what the server says", 14)
    store = opened(recorder)
    with pytest.raises(MappingStoreUnavailable, match="what the server says"):
        store.epoch()
    recorder.login = None
    assert store.epoch() == 1
    store.close()


def test_a_connection_that_ends_is_replaced_and_what_it_did_repeated(store, recorder, database):
    left = iter([[HANG_UP]])
    database.instead = lambda _call: next(left, None)
    store.look_up("SAP", "Łukasz")
    left = iter([None, [HANG_UP]])
    store.commit(CHANGES, UNGUARDED)
    assert [call.sql for call in recorder.calls].count("COMMIT TRANSACTION") == 1


@pytest.mark.parametrize("at", ["sp_getapplock", "INSERT INTO [mappings]", "INSERT INTO [audit]"])
def test_a_connection_that_ends_before_the_commit_costs_nothing(store, recorder, database, at):
    left = [1]

    def cut(call: Call):
        if at in call.sql and left:
            return [left.pop() and HANG_UP]
        return None

    database.instead = cut
    store.commit(CHANGES, UNGUARDED)
    assert not left
    assert [call.sql for call in recorder.calls].count("COMMIT TRANSACTION") == 1


def test_a_connection_that_ends_during_the_commit_is_told_and_not_repeated(store, recorder, database):
    database.instead = lambda call: [HANG_UP] if call.sql == "COMMIT TRANSACTION" else None
    with pytest.raises(MappingStoreUnavailable, match="while a change was being committed") as caught:
        store.commit(CHANGES, UNGUARDED)
    assert "not known" in caught.value.hint
    assert [call.sql for call in recorder.calls].count("COMMIT TRANSACTION") == 1


def test_a_server_without_tds_8_is_told_what_to_write(recorder):
    store = opened(recorder, Encrypt="strict")
    with pytest.raises(MappingStoreUnavailable) as caught:
        store.epoch()
    assert "Encrypt=yes" in caught.value.hint
    store.close()


def test_a_database_whose_readers_wait_for_writers_is_not_prepared(recorder, database):
    database.snapshots = 0
    store = opened(recorder)
    with pytest.raises(ConfigurationError, match="READ_COMMITTED_SNAPSHOT") as caught:
        store.prepare()
    assert "SET READ_COMMITTED_SNAPSHOT ON" in caught.value.hint
    assert not [call for call in recorder.calls if "CREATE TABLE" in call.sql]
    store.close()


@pytest.mark.parametrize("without", ["a row", "the view"])
def test_a_server_that_does_not_say_what_readers_wait_for_is_prepared_with_a_warning(
    recorder, database, caplog, without
):
    database.snapshots = None
    if without == "the view":
        database.instead = Refusing(INVALID_COLUMN)
        database.instead.only = "sys.databases"
    store = opened(recorder)
    store.prepare()
    assert "READ_COMMITTED_SNAPSHOT" in caplog.text
    store.close()
