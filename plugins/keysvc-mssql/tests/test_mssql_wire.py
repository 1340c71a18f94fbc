"""What goes over the wire to SQL Server, through Microsoft's own library: types, values, and round trips."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import msgspec
import mssql_python
import pytest
from keysvc_mssql import wire
from sql_server_answers import Database, opened
from tds_recorder import Failure, Recorder, Rows

from keysvc.plugin import (
    UNGUARDED,
    AppendAudit,
    AuditEntry,
    AuditTrail,
    Conflict,
    DeleteMapping,
    EncryptedCredential,
    InvalidInput,
    Mapping,
    NotFound,
    PutApplication,
    PutCredential,
    PutMapping,
    PutVersion,
    Reencrypt,
    Role,
    SealAudit,
    SeeServers,
    Server,
    VersionRecord,
    VersionState,
)
from keysvc.testing.mapping_store_batches import LONGEST, NAMES, every_batch
from keysvc.testing.mapping_store_samples import AT, MINUTE, an_application
from keysvc.testing.mapping_store_trails import KEYS

REVISION = 7
TEXT = re.compile(r"nvarchar\((max|\d+)\)")
TYPES = re.compile(r"nvarchar\((max|\d+)\)|varbinary\(max\)|bigint|int|smallint|datetime2\(6\)")
NOTE = AppendAudit(AuditEntry(AT, "me", "credential.set", "SAP: Łukasz"))
CREDENTIAL = PutCredential(EncryptedCredential("SAP", "Łukasz", 1, b"sealed"))


@pytest.fixture
def recording():
    """Opens a store on a database that answers so, and closes all at the end."""
    made = []

    def of(database: Database):
        recorder = Recorder(database)
        store = opened(recorder)
        made.append((store, recorder))
        store.epoch()
        recorder.requests.clear()
        return store, recorder

    yield of
    for store, recorder in made:
        store.close()
        recorder.close()


def names_sent(recorder: Recorder) -> set[str]:
    """Every text that a parameter is, or that stands in the JSON of one."""
    found = set()
    for parameter in (parameter for call in recorder.calls for parameter in call.parameters):
        if isinstance(parameter.value, str):
            found.add(parameter.value)
            if parameter.value[:2] == "[{":
                found |= {text for row in msgspec.json.decode(parameter.value) for text in row.values() if text != {}}
    return {text for text in found if isinstance(text, str)}


def test_the_package_by_itself_sends_the_names_of_a_batch_through_a_code_page(recording):
    _, recorder = recording(Database())
    text = f"Server=127.0.0.1,{recorder.port};Database=keysvc;UID=sa;PWD=x;Encrypt=no"
    with mssql_python.connect(text, autocommit=True) as connection:
        connection.cursor().executemany("UPDATE t SET a = ?", [("EXTERNAL-ASCII-LONG",), ("Łukasz",), ("日本",)])
    sent = [parameter for call in recorder.calls for parameter in call.parameters]
    assert [(p.type, p.value) for p in sent][1:] == [("varchar(19)", "Lukasz"), ("varchar(19)", "??")]


@pytest.mark.parametrize("json", ["exact", "escaped", "none"])
@pytest.mark.parametrize("kind", every_batch(REVISION))
def test_a_batch_sends_every_name_whole_and_every_type_as_it_is_declared(recording, kind, json):
    store, recorder = recording(Database(json=json))
    store.commit(every_batch(REVISION)[kind], UNGUARDED)
    parameters = [parameter for call in recorder.calls for parameter in call.parameters]
    assert not [each.type for each in parameters if not TYPES.fullmatch(each.type)]
    assert not [each for each in parameters if isinstance(each.value, str) and not TEXT.fullmatch(each.type)]
    if kind == "events":  # their names are in JSON that is kept as text
        expected = {msgspec.json.encode({"name": name}).decode() for name in NAMES}
    else:
        expected = {change.user for change in every_batch(REVISION)[kind] if hasattr(change, "user")} or set(NAMES)
    assert expected <= names_sent(recorder)


@pytest.mark.parametrize("kind", every_batch(REVISION))
def test_a_batch_is_one_statement_with_one_parameter_however_many_rows_it_has(recording, kind):
    store, recorder = recording(Database())
    counts = []
    for times in (1, 40):
        changes = every_batch(REVISION)[kind] * times
        recorder.requests.clear()
        store.commit(changes, UNGUARDED)
        counts.append(len(recorder.requests))
        rows = [
            p for call in recorder.calls for p in call.parameters if isinstance(p.value, str) and p.value[:2] == "[{"
        ]
        assert {each.type for each in rows} == {"nvarchar(max)"}
    assert counts[0] == counts[1] == (4 if kind == "audit entries" else 3)


def test_without_json_a_batch_takes_as_many_rows_to_a_statement_as_parameters_allow(recording):
    store, recorder = recording(Database(json="none"))
    rows = [EncryptedCredential("SAP", f"u{number}", 2, b"x", REVISION) for number in range(2000)]
    store.commit([Reencrypt(rows)], UNGUARDED)
    sent = [call for call in recorder.calls if call.parameters]
    assert len(recorder.requests) == 2 + len(sent) == 2 + 5
    assert max(len(call.parameters) for call in sent) <= wire.PARAMETERS
    assert [p.value for call in sent for p in call.parameters][1::5] == [row.user for row in rows]


@pytest.mark.parametrize(
    ("user", "ciphertext", "is_json"),
    [
        ("Łukasz 日本 🔑\u2028\x7f", b"x" * 2000, True),
        ("CORP\\alice", b"x", False),
        ('say "hi"', b"x", False),
        ("tab\there", b"x", False),
        ("plain", b"x" * 2001, False),
    ],
)
def test_a_server_that_leaves_escapes_and_cuts_long_text_gets_json_only_where_it_reads_that_whole(
    recording, user, ciphertext, is_json
):
    store, recorder = recording(Database(json="escaped"))
    rows = [EncryptedCredential("SAP", name, 2, ciphertext, REVISION) for name in (user, "another")]
    store.commit([Reencrypt(rows)], UNGUARDED)
    (call,) = (call for call in recorder.calls if call.parameters)
    assert [parameter.type for parameter in call.parameters].count("nvarchar(max)") == is_json
    assert names_sent(recorder) >= {user, "another"}


@pytest.mark.parametrize(
    "changes",
    [
        [CREDENTIAL, NOTE],
        [PutCredential(EncryptedCredential("SAP", "Łukasz", 1, b"sealed", REVISION)), NOTE],
        [PutMapping(Mapping("SAP", "Łukasz", "L")), CREDENTIAL, NOTE, SealAudit(AuditTrail.CHANGES, KEYS)],
        [PutMapping(Mapping("SAP", "Łukasz", "L", revision=REVISION)), CREDENTIAL, NOTE],
    ],
)
def test_a_credential_and_its_audit_entry_are_four_round_trips(recording, changes):
    store, recorder = recording(Database())
    for _ in range(2):
        recorder.requests.clear()
        store.commit(changes, UNGUARDED)
        assert len(recorder.requests) == 4


def test_a_lookup_is_one_round_trip_also_when_it_is_repeated(recording):
    store, recorder = recording(Database())
    for name in (LONGEST, "Łukasz", "日本"):
        recorder.requests.clear()
        store.look_up("SAP", name)
        ((call,),) = recorder.requests
        assert {(p.type, p.value) for p in call.parameters} == {("nvarchar(512)", "SAP"), ("nvarchar(512)", name)}


def test_a_null_costs_no_question_for_its_type(recording):
    store, recorder = recording(Database())
    store.commit([PutVersion(VersionRecord(1, VersionState.ACTIVE, AT, "ab"))], UNGUARDED)
    assert not [call for call in recorder.calls if "sp_describe" in call.sql]
    (update,) = (call for call in recorder.calls if call.sql.startswith("UPDATE versions"))
    assert [(p.type, p.value) for p in update.parameters[1:3]] == [("datetime2(6)", None)] * 2


def test_a_time_is_sent_to_the_microsecond(recording):
    store, recorder = recording(Database())
    store.grant_lease("one", MINUTE)
    sent = [p for call in recorder.calls for p in call.parameters if p.type.startswith("datetime2")]
    assert [(p.type, p.value) for p in sent] == [("datetime2(6)", datetime(2026, 2, 3, 0, 1))]
    store.commit([AppendAudit(AuditEntry(AT, "me", "act", "it"))], UNGUARDED)
    assert AT.replace(tzinfo=None) in [p.value for call in recorder.calls for p in call.parameters]


def test_each_transaction_is_begun_once_and_none_is_rolled_back_that_was_not(recording):
    store, recorder = recording(Database())
    store.commit([CREDENTIAL], UNGUARDED)
    with pytest.raises(InvalidInput):
        store.commit([PutMapping(Mapping("SAP", "dave ", "D"))], UNGUARDED)
    statements = [call.sql.strip() for call in recorder.calls]
    begun = [sql for sql in statements if sql.startswith("IF @@TRANCOUNT = 0 BEGIN TRANSACTION;")]
    assert (statements[0], len(begun), statements.count("COMMIT TRANSACTION")) == (begun[0], 2, 1)
    assert statements[-1] == "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
    assert not [sql for sql in statements if "dave" in sql]


def test_the_head_of_a_trail_is_locked_by_an_update_before_it_is_read(recording):
    store, recorder = recording(Database())
    store.commit([NOTE], UNGUARDED)
    (reading,) = (call.sql for call in recorder.calls if "FROM audit_heads" in call.sql)
    assert reading.index("UPDATE audit_heads") < reading.index("SELECT audit_heads.trail")


def test_the_first_revision_is_read_once_for_all_new_rows(recording):
    store, recorder = recording(Database())
    store.commit(every_batch(REVISION)["new mappings"], UNGUARDED)
    (insert,) = (call.sql for call in recorder.calls if "INSERT INTO [mappings]" in call.sql)
    assert insert.count("first_revision") == 1
    assert insert.count("CROSS JOIN guard") == 1


def test_a_batch_that_does_not_fit_is_rolled_back_and_its_changes_tell_which_and_why(recording):
    def refuse(call):
        if "THROW 50001" in call.sql and "OPENJSON" in call.sql:
            return [Failure(50001, "keysvc: a row does not fit")]
        return [0] if call.sql.startswith("UPDATE mappings") and "天" in str(call.parameters) else None

    store, recorder = recording(Database(instead=refuse))
    puts = [PutMapping(Mapping("SAP", name, "x", revision=REVISION)) for name in ("Łukasz", "天")]
    with pytest.raises(Conflict, match="天"):
        store.commit(puts, UNGUARDED)
    assert [call.sql for call in recorder.calls].count("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION") == 2
    assert "COMMIT TRANSACTION" not in [call.sql for call in recorder.calls]


def test_an_integrity_error_of_a_batch_has_its_changes_tell_which_and_why(recording):
    def refuse(call):
        if "INSERT INTO [credentials]" in call.sql:
            return [Failure(547, "The INSERT statement conflicted with the FOREIGN KEY constraint")]
        return [Rows((("x", "int"),))] if call.sql.startswith("SELECT 1 ") else None

    store, _ = recording(Database(instead=refuse))
    with pytest.raises(NotFound, match="Łukasz"):
        store.commit([CREDENTIAL, NOTE], UNGUARDED)


def test_a_statement_is_prepared_once_for_each_connection_and_the_oldest_is_forgotten(recording):
    store, _ = recording(Database())
    with store._engine.connect() as connection:
        held = connection.connection.dbapi_connection
        for number in range(wire.KEPT + 9):
            connection.exec_driver_sql(f"UPDATE t{number} SET a = ?", ("x",))
        assert len(held._idle) == wire.KEPT


def test_an_unread_result_does_not_keep_its_connection_busy(recording):
    store, _ = recording(
        Database(instead=lambda call: [Rows((("a", "int"),), ((1,), (2,)))] if "two" in call.sql else None)
    )
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT two, ?", ("x",)).first() == (1,)
        assert connection.exec_driver_sql("SELECT two").first() == (1,)
        assert connection.exec_driver_sql("SELECT two, ?", ("x",)).all() == [(1,), (2,)]


def test_deletions_raise_the_first_revision_in_their_statement(recording):
    store, recorder = recording(Database())
    store.commit([DeleteMapping("SAP", "Łukasz"), DeleteMapping("SAP", LONGEST)], UNGUARDED)
    (deletion,) = (call for call in recorder.calls if "DELETE FROM" in call.sql)
    assert deletion.sql.index("UPDATE guard SET first_revision") < deletion.sql.index("DELETE FROM [mappings]")
    assert "IF @@ROWCOUNT <> 2 THROW" in deletion.sql


@pytest.mark.parametrize("count", [1, 2])
def test_text_that_is_no_text_is_refused_and_nothing_of_it_is_sent(recording, count):
    store, recorder = recording(Database())
    half = "half of a pair: \ud83d"
    for change in (
        SeeServers([Server(f"web-{number}", "1", (1,), AT, Role.MASTER, "", half) for number in range(count)]),
        PutApplication(replace(an_application(), description=half)),
        AppendAudit(AuditEntry(AT, half, "act", "it")),
    ):
        with pytest.raises(InvalidInput, match="not valid text"):
            store.commit([change], UNGUARDED)
    assert recorder.calls[-1].sql == "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
    assert "half" not in str(recorder.calls)
