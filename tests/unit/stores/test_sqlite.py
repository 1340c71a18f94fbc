"""What is SQLite's own: the file, its mode, damage, locks, full disks and death in the middle of a commit."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy.dialects import sqlite

from keysvc.errors import (
    ConfigurationError,
    InvalidInput,
    KeysvcError,
    MappingStoreError,
    MappingStoreUnavailable,
    NotConfigured,
)
from keysvc.model import Application, ApplicationType, AuditEntry, EncryptedCredential, Event, Mapping
from keysvc.plugin.changes import (
    UNGUARDED,
    AppendAudit,
    AppendEvent,
    ParkEvent,
    PutApplication,
    PutCredential,
    PutMapping,
)
from keysvc.plugin.interfaces import Opening
from keysvc.plugin.location import Location
from keysvc.stores.sql import of_external_user
from keysvc.stores.sqlite import SQLiteMappingStore, open_sqlite

SAP = Application("SAP", "0" * 32, ApplicationType.INDIVIDUAL, ())
AT = datetime(2026, 2, 3, tzinfo=UTC)


def users(*names, size=100):
    mappings = [PutMapping(Mapping("SAP", name, name)) for name in names]
    return [*mappings, *(PutCredential(EncryptedCredential("SAP", name, 1, bytes(size))) for name in names)]


def open_url(url):
    return open_sqlite(Opening(Location.parse(url), pytest.fail, ""))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mappings.db"


@pytest.fixture
def store(path):
    store = SQLiteMappingStore(path)
    store.prepare()
    store.commit([PutApplication(SAP), *users("alice", "bob")], UNGUARDED)
    yield store
    store.close()


# -- URLs and the plugin ---------------------------------------------------------------------------------------------


def test_importing_the_plugin_imports_no_sqlalchemy():
    code = "import sys, keysvc.stores.sqlite; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_absolute_url_names_a_file(tmp_path):
    store = open_url(f"sqlite:///{tmp_path}/a%20file%23.db?timeout=0.5")
    store.prepare()
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".db"] == ["a file#.db"]
    store.close()


def test_a_relative_url_names_a_file_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_url("sqlite:///here.db")
    store.prepare()
    assert (tmp_path / "here.db").exists()
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_url_without_a_path_is_in_memory(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_url(url)
    store.prepare()
    store.commit([PutApplication(SAP)], UNGUARDED)
    assert store.application("SAP") is not None
    assert list(tmp_path.iterdir()) == []
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:/a.db",
        "sqlite:a.db",
        "sqlite://host/a.db",
        "sqlite:///a.db#b",
        "sqlite:///a?timeout=x",
        "sqlite:///a?timeout=-1",
        "sqlite:///a?timeout=nan",
    ],
)
def test_a_url_that_is_not_understood_is_refused(url):
    with pytest.raises(ConfigurationError, match="sqlite:"):
        open_url(url)


# -- the file --------------------------------------------------------------------------------------------------------


def test_reading_what_does_not_exist_creates_nothing(path):
    store = SQLiteMappingStore(path)
    for call in (store.versions, store.epoch, lambda: store.commit([], UNGUARDED)):
        with pytest.raises(NotConfigured, match=r"mappings\.db does not exist yet"):
            call()
    assert store.info().schema_version == 0
    assert list(path.parent.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_the_file_and_what_lies_beside_it_are_for_its_owner_alone(path):
    before = os.umask(0)
    try:
        store = SQLiteMappingStore(path)
        store.prepare()
        store.commit([PutApplication(SAP)], UNGUARDED)
        modes = {entry.name: entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert modes == {"mappings.db": 0o600, "mappings.db-wal": 0o600, "mappings.db-shm": 0o600}


def test_a_row_is_read_the_short_way_and_as_the_long_way_reads_it(store, monkeypatch):
    long_way = super(SQLiteMappingStore, store)
    wanted = long_way.application("SAP"), long_way.look_up("SAP", "bob"), long_way.credentials(under=1)
    monkeypatch.setattr(SQLiteMappingStore, "_read", lambda *_: pytest.fail("the long way"))
    assert (store.application("SAP"), store.look_up("SAP", "bob"), store.credentials(under=1)) == wanted


def test_what_the_short_way_cannot_say_the_long_way_does(store, path):
    assert (store.application("sap"), store.mapping("SAP", "carol"), store.credential("SAP", "carol")) == (None,) * 3
    with pytest.raises(InvalidInput):
        store.mapping("SAP", "bob ")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE applications SET flags = '{'")
        connection.execute("UPDATE mappings SET enabled = 'perhaps' WHERE user = 'bob'")
    connection.close()
    with pytest.raises(MappingStoreError, match=r"row .'SAP'. of the table applications"):
        store.application("SAP")
    with pytest.raises(MappingStoreError, match=r"row .'SAP', 'bob'. of the table mappings"):
        store.mapping("SAP", "bob")


def test_a_commit_is_on_the_disk_when_it_returns(store):
    with store._engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]


@pytest.mark.parametrize("where", ["missing/mappings.db", "file/mappings.db", "."])
def test_a_place_where_no_file_can_be_is_named(tmp_path, where):
    (tmp_path / "file").touch()
    store = SQLiteMappingStore(tmp_path / where)
    with pytest.raises(MappingStoreUnavailable) as caught:
        store.prepare()
    assert str(tmp_path) in str(caught.value)


# -- damage ----------------------------------------------------------------------------------------------------------


def one_clear_error(path):
    store = SQLiteMappingStore(path)

    def use_it():
        store.prepare()
        store.mappings("SAP")
        store.credentials()

    with pytest.raises(MappingStoreError) as caught:
        use_it()
    store.close()
    assert "mappings.db" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "restore the database" in caught.value.hint
    return caught.value


def test_a_file_that_is_no_database_is_an_error_that_says_so(path):
    path.write_bytes(b"Dear diary, " * 1000)
    assert "not a database" in str(one_clear_error(path))


def test_a_truncated_file_is_an_error_that_says_so(store, path):
    store.commit(users(*(f"u{number}" for number in range(200))), UNGUARDED)
    store.close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "malformed" in str(one_clear_error(path))


def test_flipped_bits_never_cause_anything_but_one_error_of_keysvc(store, path):
    store.close()
    whole, dice, refused = path.read_bytes(), random.Random(1), 0
    unnoticed = 0
    for _ in range(400):
        torn = bytearray(whole)
        for _ in range(20):
            torn[dice.randrange(len(torn))] ^= 1 << dice.randrange(8)
        path.write_bytes(torn)
        damaged = SQLiteMappingStore(path)
        try:
            for read in (damaged.versions, damaged.applications, damaged.credentials, damaged.audit, damaged.lease):
                read()
            damaged.commit(users(f"u{dice.random()}"), UNGUARDED)
        except KeysvcError as error:
            refused += "\n" not in str(error)
        else:
            unnoticed += 1  # what is not in a structure of SQLite's is a matter for the authenticated encryption
        damaged.close()
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
    assert refused + unnoticed == 400
    assert refused > 10


# -- a file that is replaced or removed ------------------------------------------------------------------------------


def test_a_file_that_was_removed_is_noticed_by_reads_and_writes_and_is_used_again_when_it_is_back(store, path):
    store.look_up("SAP", "alice")
    for beside in ("", "-wal", "-shm"):
        path.with_name(path.name + beside).rename(path.with_name(f"away{beside}"))
    for use in (
        lambda: store.look_up("SAP", "alice"),
        lambda: store.credentials(under=1),
        store.system,
        lambda: store.commit(users("carol"), UNGUARDED),
    ):
        with pytest.raises(MappingStoreUnavailable, match="removed while it was open"):
            use()
    for beside in ("", "-wal", "-shm"):
        path.with_name(f"away{beside}").rename(path.with_name(path.name + beside))
    assert store.mapping("SAP", "carol") is None
    store.commit(users("carol"), UNGUARDED)


def test_a_file_that_took_the_place_of_another_is_read_and_written_at_once(store, path, tmp_path):
    other = SQLiteMappingStore(tmp_path / "other.db")
    other.prepare()
    other.commit([PutApplication(SAP), *users("zoe")], UNGUARDED)
    other.close()
    assert store.look_up("SAP", "alice")[1] is not None
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink()
    (tmp_path / "other.db").rename(path)
    assert store.look_up("SAP", "alice")[1:] == (None, None)
    assert store.look_up("SAP", "zoe")[1] is not None
    store.commit(users("carol"), UNGUARDED)
    assert [mapping.user for mapping in store.mappings("SAP")] == ["carol", "zoe"]


def test_a_file_of_no_system_that_took_its_place_is_refused(store, path):
    for beside in ("-wal", "-shm", ""):
        path.with_name(path.name + beside).unlink()
    path.touch()
    with pytest.raises(NotConfigured):
        store.look_up("SAP", "alice")


def test_a_commit_into_a_file_that_was_just_removed_is_not_acknowledged(store, path, monkeypatch):
    begin = store._begin

    def remove_and_begin(connection):
        path.unlink()
        begin(connection)

    monkeypatch.setattr(store, "_begin", remove_and_begin)
    with pytest.raises(MappingStoreUnavailable, match="while a change was being committed"):
        store.commit(users("carol"), UNGUARDED)


# -- locks, full and read-only disks ---------------------------------------------------------------------------------


def test_while_another_writes_reading_goes_on_and_writing_says_locked(store, path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    impatient = SQLiteMappingStore(path, timeout=0.05)
    assert len(impatient.mappings("SAP")) == 2
    with pytest.raises(MappingStoreUnavailable, match="locked"):
        impatient.commit(users("carol"), UNGUARDED)
    other.execute("ROLLBACK")
    other.close()
    impatient.commit(users("carol"), UNGUARDED)
    impatient.close()


def test_a_full_disk_changes_nothing(store):
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(MappingStoreUnavailable, match="full"):
        store.commit(users(*(f"u{number}" for number in range(50)), size=4000), UNGUARDED)
    assert len(store.mappings("SAP")) == len(store.credentials()) == 2
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    store.commit(users("carol"), UNGUARDED)


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE is POSIX's")
def test_a_file_that_may_not_grow_changes_nothing(store, path):
    code = """
        import resource, sys
        from keysvc.errors import MappingStoreUnavailable
        from keysvc.plugin.changes import PutMapping, UNGUARDED
        from keysvc.model import Mapping
        from keysvc.stores.sqlite import SQLiteMappingStore
        from pathlib import Path
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        store = SQLiteMappingStore(Path(sys.argv[1]))
        try:
            store.commit([PutMapping(Mapping("SAP", f"u{n}", "x" * 200)) for n in range(5000)], UNGUARDED)
        except MappingStoreUnavailable as error:
            print(error)
            print(len(store.mappings("SAP")))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert ("mappings.db" in lines[0], lines[1:]) == (True, ["2"])
    assert len(store.mappings("SAP")) == 2
    store.commit(users("carol"), UNGUARDED)


def test_a_database_that_may_only_be_read_says_so(store):
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(MappingStoreUnavailable, match="readonly"):
        store.commit(users("carol"), UNGUARDED)
    assert len(store.mappings("SAP")) == 2


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_a_file_that_may_only_be_read_is_read(store, path):
    code = """
        import sys
        from keysvc.errors import MappingStoreUnavailable
        from keysvc.plugin.changes import DeleteMapping, UNGUARDED
        from keysvc.stores.sqlite import SQLiteMappingStore
        from pathlib import Path
        store = SQLiteMappingStore(Path(sys.argv[1]))
        print(len(store.mappings("SAP")))
        try:
            store.commit([DeleteMapping("SAP", store.mappings("SAP")[0].user)], UNGUARDED)
        except MappingStoreUnavailable as error:
            print(error)
    """
    store.close()
    path.chmod(0o400)
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    if os.geteuid() == 0:  # modes bind root only without this capability
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--", *command]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert (lines[0], "readonly" in lines[1]) == ("2", True)


# -- death -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("after", [0.0, 0.03, 0.07, 0.15])
def test_sigkill_during_commits_leaves_each_of_them_whole_or_not_at_all(store, path, after):
    code = """
        import sys
        from keysvc.plugin.changes import PutMapping, UNGUARDED
        from keysvc.model import Mapping
        from keysvc.stores.sqlite import SQLiteMappingStore
        from pathlib import Path
        store = SQLiteMappingStore(Path(sys.argv[1]))
        for number in range(10**6):
            names = [f"{number:07}.{part:02}" for part in range(40)]
            store.commit([PutMapping(Mapping("SAP", name, "x" * 200)) for name in names], UNGUARDED)
            print(number, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        told = [first, *process.stdout]
    found = [mapping.user for mapping in store.mappings("SAP", limit=10**6) if mapping.user[0] == "0"]
    assert len(found) % 40 == 0
    assert len(found) // 40 >= int(told[-1]) + 1  # what it said was committed is there
    store.commit(users("carol"), UNGUARDED)


def test_of_many_who_write_at_once_each_gets_its_turn(store, path):
    writers, total = 16, 1200
    turns = dict.fromkeys(range(writers), 0)
    together = threading.Barrier(writers)

    def write(writer: int) -> None:
        own = SQLiteMappingStore(path, timeout=60)
        try:
            own.epoch()
            together.wait(60)
            while sum(turns.values()) < total:
                own.commit([AppendAudit(AuditEntry(AT, str(writer), "write", "it"))], UNGUARDED)
                turns[writer] += 1
        finally:
            own.close()

    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(write, range(writers)))
    assert min(turns.values()) > total / writers / 4, turns


def test_to_prepare_waits_for_another_that_writes_until_the_time_out(path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA user_version = 1")  # not an empty file
    other.execute("BEGIN IMMEDIATE")
    impatient, patient = SQLiteMappingStore(path, timeout=0.05), SQLiteMappingStore(path, timeout=20)
    with pytest.raises(MappingStoreUnavailable, match="locked"):
        impatient.prepare()
    with ThreadPoolExecutor(1) as threads:
        prepared = threads.submit(patient.prepare)
        with pytest.raises(TimeoutError):
            prepared.result(0.2)
        other.execute("ROLLBACK")
        prepared.result(20)
    assert patient.epoch() == 0
    for each in (impatient, patient, other):
        each.close()


@pytest.mark.parametrize(
    ("edit", "read"),
    [
        ("applications SET fields = ?", lambda store: store.application("SAP")),
        ("applications SET flags = ?", lambda store: store.look_up("SAP", "alice")),
        ("credentials SET version = ?", lambda store: store.rows_by_version()),
        ("deliveries SET parked_at = ?", lambda store: store.parked_events(9)),
        ("deliveries SET reason = CAST(? AS BLOB)", lambda store: store.parked_events(9)),
    ],
)
def test_a_value_that_somebody_edited_is_one_error_that_names_its_table(store, path, edit, read):
    store.commit([AppendEvent(Event("e1", "k", AT, {}))], UNGUARDED)
    store.commit([ParkEvent("e1", "mail", "refused", AT)], UNGUARDED)
    read(store)
    with contextlib.closing(sqlite3.connect(path)) as editing, editing:
        editing.execute(f"UPDATE {edit}", ("[" * 100_000,))
    with pytest.raises(MappingStoreError, match=edit.split()[0]):
        read(store)


def test_mappings_of_an_external_user_are_found_by_their_own_index_and_come_by_user(store, path):
    store.commit([PutMapping(Mapping("SAP", name, "SHARED")) for name in "bca"], UNGUARDED)
    assert [mapping.user for mapping in store.mappings_of_external_user("SAP", "SHARED")] == ["a", "b", "c"]
    statement = of_external_user("SAP", "SHARED").compile(dialect=sqlite.dialect())
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        (plan,) = database.execute(f"EXPLAIN QUERY PLAN {statement}", ("SAP", "SHARED")).fetchall()
    database.close()
    assert "mappings_by_external_user (application=? AND external_user=?)" in plan[-1]
