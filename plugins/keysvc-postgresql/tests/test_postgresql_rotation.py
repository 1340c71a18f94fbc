"""Rotations on PostgreSQL, through kill -9 of the database and of the master, and under load."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import systems
from keysvc_postgresql.store import PostgreSQLMappingStore
from rows import move_twins
from sqlalchemy import insert
from systems import System, configured, eventually

from keysvc.crypto.credentials import CredentialCipher
from keysvc.installation import migration
from keysvc.model import names as names_of
from keysvc.plugin import MappingStore, MappingStoreUnavailable, SecretText, paging
from keysvc.stores import schema
from keysvc.stores.sqlite import SQLiteMappingStore

CLIENTS = 8
ROWS = int(os.environ.get("KEYSVC_TEST_ROWS", "100000"))


@pytest.fixture
def system(tmp_path, url):
    made = configured(tmp_path, mapping_store=url)
    made.with_users()
    yield made
    made.close()


def fill(system: System, rows: int) -> None:
    """Credentials under the active version, as SSO servers would have written them."""
    store, key_store = system.store(), system.key_store()
    active = store.versions().require_active().version
    cipher = CredentialCipher(key_store.unseal(active), system.system_id)
    application = store.application("SAP")
    names = [f"u{number:07}" for number in range(rows)]
    for start in range(0, rows, 5000):
        page = [{"application": "SAP", "user": name, "revision": 1} for name in names[start : start + 5000]]
        for row in page:
            fields = {"Password": SecretText(f"of {row['user']}")}
            row |= {"version": active, "ciphertext": cipher.encrypt(application, row["user"], fields)}
            row |= {"external_user": row["user"].upper(), "enabled": True, "user_key": names_of.key(row["user"])}
        with store._engine.begin() as connection:  # many times as fast as one change after the other
            for table in (schema.mappings, schema.credentials):
                connection.execute(insert(table), [{c.name: row[c.name] for c in table.columns} for row in page])


def all_decrypt(system: System, rows: int, changed: dict[str, str]) -> None:
    """Every row is under the active version, and holds what was written into it last."""
    store, key_store = system.store(), system.key_store()
    active = store.versions().require_active().version
    cipher = CredentialCipher(key_store.unseal(active), system.system_id)
    application, seen = store.application("SAP"), 0
    for row in paging.credentials(store):
        fields = cipher.decrypt(application, row.user, row.ciphertext)
        assert fields["Password"].reveal() == changed.get(row.user, f"of {row.user}")
        seen += 1
    assert (seen, store.rows_by_version()) == (rows, {active: rows})
    store.close()


def rows(store: MappingStore) -> dict[int, int]:
    """Nothing while the database is down."""
    try:
        return store.rows_by_version()
    except MappingStoreUnavailable:
        return {}


def test_kill_9_of_the_database_during_a_rotation_loses_nothing_and_the_rotation_goes_on_by_itself(system, server):
    fill(system, 5_000)
    master = system.start()
    master.rotate("administrator")
    watch = system.store()
    eventually(lambda: watch.rows_by_version().get(2, 0) > 0, 60)
    server.kill()
    reached = time.monotonic() + 1
    eventually(lambda: time.monotonic() > reached)
    server.start()
    eventually(lambda: rows(watch) == {2: 5_000}, 120)
    assert system.lost == []
    all_decrypt(system, 5_000, {})


MASTER = """
import sys, time
from datetime import timedelta
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from systems import System
from keysvc.crypto import certificates
from keysvc.plugin import utc_now
from keysvc.plugin.loading import Plugins
authority = certificates.create_authority("5" * 32, now=utc_now())
system = System(Path(sys.argv[2]), Plugins(), authority, mapping_store=sys.argv[3])
system.start(timedelta(seconds=5)).rotate("administrator")  # each death is waited for as long
time.sleep(600)
"""


def test_kill_9_of_the_master_in_the_middle_of_a_batch_loses_nothing_and_the_next_one_goes_on(system):
    fill(system, 5_000)
    watch = system.store()
    deaths = 0
    while (before := watch.rows_by_version().get(1, 0)) and deaths < 3:
        where = (Path(systems.__file__).parent, system.folder, system.mapping_store)
        command = [sys.executable, "-c", MASTER, *map(str, where)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as master:
            try:
                eventually(lambda before=before: watch.rows_by_version().get(1, 0) < before, 60)
            finally:
                master.kill()
        deaths += 1
        eventually(lambda: watch.lease() is None, 30)
    assert deaths
    system.start()
    eventually(lambda: len(watch.rows_by_version()) == 1, 120)
    all_decrypt(system, 5_000, {})


def test_many_rows_are_reencrypted_while_clients_update_them_and_every_update_survives(system):
    fill(system, ROWS)
    master = system.start(lease_ttl=timedelta(minutes=1), poll_interval=timedelta(seconds=5))  # one process does it all
    servers = [system.sso(f"web-{number}")[0] for number in range(2)]
    for server in servers:
        eventually(lambda server=server: server.status().can_encrypt)
    finished, failures = threading.Event(), []
    changed: dict[str, str] = {}

    def update(client: int) -> None:
        number = client
        while not finished.is_set():
            user = f"u{number % ROWS:07}"
            try:
                servers[client % 2].set_credential("SAP", user=user, Password=f"{number} of {client}")
                changed[user] = f"{number} of {client}"
            except Exception as error:
                failures.append(error)
            number += CLIENTS * 37

    clients = [threading.Thread(target=update, args=(client,)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    master.rotate("administrator")
    watch = system.store()
    try:
        eventually(lambda: watch.rows_by_version() == {2: ROWS}, 300)
    finally:
        finished.set()
        for client in clients:
            client.join()
    assert (failures, len(changed) > 100) == ([], True)
    all_decrypt(system, ROWS, changed)


def test_a_system_moves_from_sqlite_to_postgresql_and_back(tmp_path, url):
    system = configured(tmp_path)
    system.with_users()
    fill(system, 3000)
    there, back = PostgreSQLMappingStore(url), SQLiteMappingStore(tmp_path / "back.db")
    moved = migration.migrate(system.store(), there, "administrator")
    assert (moved.counts["mappings"], moved.counts["credentials"]) == (3000, 3000)
    assert migration.migrate(there, back, "administrator") == moved
    system.mapping_store = f"sqlite:///{tmp_path}/back.db"
    all_decrypt(system, 3000, {})
    for store in (there, back, system):
        store.close()


def test_names_that_differ_only_in_what_a_code_page_folds_stay_apart_through_a_move(tmp_path, url):
    system, there = configured(tmp_path), PostgreSQLMappingStore(url)
    move_twins(system, there)
    there.close()
    system.close()
