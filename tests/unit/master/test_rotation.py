"""Rotation, step by step and as a whole, on a file key store and SQLite."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from systems import System, eventually

from keysvc.errors import KeyStoreUnavailable, VersionInUse, VersionNotFound
from keysvc.master.destruction import Destruction
from keysvc.model import BackupRecord, Guard, utc_now
from keysvc.plugin.changes import PutBackup, PutCredential
from keysvc.plugin.sealed import Directory


def states(system: System) -> dict[int, str]:
    return {record.version: record.state.value for record in system.store().versions()}


def test_a_rotation_reencrypts_every_credential_and_keeps_the_old_version(system: System) -> None:
    system.with_users("anna", "bert", "carla")
    master = system.start()
    sso, _ = system.sso()
    for user in ("anna", "bert", "carla"):
        assert sso.set_credential("SAP", user=user, password=f"of {user}") == 1
    master.rotate("administrator")
    eventually(lambda: system.store().rows_by_version() == {2: 3})
    assert states(system) == {1: "retiring", 2: "active"}
    eventually(lambda: master.status().rotation is None)
    assert sso.credential("SAP", user="bert")["password"].reveal() == "of bert"
    assert sso.credential("SAP", user="bert").version == 2


def test_a_version_becomes_active_only_when_every_live_server_holds_it(system: System) -> None:
    master = system.start(poll_interval=timedelta(seconds=30))
    master.poll("deaf", "1", (1,))
    master.rotate("administrator")
    assert not master.rotation.advance()
    assert states(system) == {1: "active", 2: "announced"}
    master.poll("deaf", "1", (1, 2))
    eventually(lambda: states(system) == {1: "retiring", 2: "active"})


def test_a_silent_server_is_waited_for_only_as_long_as_it_may_encrypt(system: System) -> None:
    master = system.start()
    master.poll("gone", "1", (1,))
    master.rotate("administrator")
    assert states(system)[2] == "announced"
    eventually(lambda: states(system) == {1: "retiring", 2: "active"})


def test_a_second_request_while_one_is_announced_is_the_same_rotation(system: System) -> None:
    master = system.start(poll_interval=timedelta(seconds=30))
    master.poll("deaf", "1", (1,))
    assert master.rotate("administrator").version == 2
    assert master.rotate("administrator").version == 2


def test_a_version_that_was_sealed_but_never_announced_is_used_by_the_next_master(system: System) -> None:
    master = system.start()
    secret = master.rotation._secrets.generate(system.store().versions())
    system.stop()
    master = system.start()
    assert master.rotate("administrator").check_value == secret.check_value


def test_writers_during_a_rotation_notice_nothing_and_lose_nothing(system: System) -> None:
    users = [f"user{number}" for number in range(6)]
    system.with_users(*users)
    master = system.start()
    servers = [system.sso(name)[0] for name in ("web-01", "web-02")]
    for user in users:
        servers[0].set_credential("SAP", user=user, password="0")
    stop, failures, last = threading.Event(), [], {}

    def write(user: str, number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            try:
                servers[number % 2].set_credential("SAP", user=user, password=str(count))
                last[user] = str(count)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=write, args=(user, number)) for number, user in enumerate(users)]
    for thread in threads:
        thread.start()
    for version in (2, 3):
        master.rotate("administrator")
        eventually(lambda version=version: states(system).get(version) == "active", 30)
        eventually(lambda version=version: set(system.store().rows_by_version()) == {version}, 30)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {user: servers[1].credential("SAP", user=user)["password"].reveal() for user in users} == last


def test_a_row_that_does_not_decrypt_stays_and_does_not_stop_the_others(system: System) -> None:
    system.with_users("anna", "bert")
    master = system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", user="anna", password="a")
    sso.set_credential("SAP", user="bert", password="b")
    store = system.store()
    anna, bert = store.credential("SAP", "anna"), store.credential("SAP", "bert")
    store.commit([PutCredential(replace(anna, ciphertext=bert.ciphertext))], Guard())
    master.rotate("administrator")
    eventually(lambda: store.rows_by_version() == {1: 1, 2: 1})
    eventually(lambda: any("do not decrypt" in problem for problem in master.status().problems))
    assert master.status().rotation is not None
    assert sso.credential("SAP", user="bert")["password"].reveal() == "b"
    with pytest.raises(VersionInUse, match="1 credentials are still"):
        master.destroy(1, "administrator", force=True)


def test_a_version_is_destroyed_only_when_nothing_needs_it_and_a_backup_holds_the_active_one(system: System) -> None:
    system.with_users("anna")
    master = system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", user="anna", password="a")
    with pytest.raises(VersionInUse, match="active"):
        master.destroy(1, "administrator", force=True)
    master.rotate("administrator")
    eventually(lambda: system.store().rows_by_version() == {2: 1})
    with pytest.raises(VersionInUse, match="no backup"):
        master.destroy(1, "administrator", force=False)
    system.store().commit([PutBackup(BackupRecord(utc_now(), (1, 2)))], Guard())
    master.destroy(1, "administrator", force=False)
    assert states(system) == {1: "destroyed", 2: "active"}
    assert list(system.key_store().versions()) == [2]
    with pytest.raises(VersionNotFound):
        master.destroy(1, "administrator", force=True)


def test_destroying_on_a_key_store_that_cannot_be_written_is_finished_once_it_can_or_when_it_is_repeated(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_shelf: Directory, _name: str) -> None:
        raise KeyStoreUnavailable("Read-only file system")

    master = system.start()
    for active in (2, 3):
        master.rotate("administrator")
        eventually(lambda active=active: states(system)[active] == "active")
    with monkeypatch.context() as read_only:
        read_only.setattr(Directory, "__delitem__", refuse)
        for version in (1, 2, 2):
            with pytest.raises(KeyStoreUnavailable, match=f"records version {version} as destroyed, but the key store"):
                master.destroy(version, "administrator", force=True)
        assert [problem[:42] for problem in master.status().problems] == [
            "version 1 is destroyed, but still in the k",
            "version 2 is destroyed, but still in the k",
        ]
        system.stop()
        master = system.start()
        assert len(master.status().problems) == 2
        system.stop()
    with monkeypatch.context() as repeated:
        repeated.setattr(Destruction, "finish", lambda *_: None)  # the master itself would be as quick
        master = system.start()
        master.destroy(1, "administrator", force=False)
    master._key_store_watch.look_soon()
    eventually(lambda: list(system.key_store().versions()) == [3])
    eventually(lambda: not master.status().problems)
    with pytest.raises(VersionNotFound):
        master.destroy(1, "administrator", force=False)


def test_destroying_that_died_half_way_is_finished_by_the_next_master(system: System) -> None:
    master = system.start()
    master.rotate("administrator")
    eventually(lambda: states(system) == {1: "retiring", 2: "active"})
    kept = system.key_store().unseal(1)
    master.destroy(1, "administrator", force=True)
    system.stop()
    system.key_store().seal(kept)
    system.start()
    assert list(system.key_store().versions()) == [2]
