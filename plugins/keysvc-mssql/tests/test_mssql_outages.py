"""A master, a standby and an SSO server outlive what SQL Server refuses. The errors come through the real driver."""

from __future__ import annotations

import threading
import time
from collections import abc
from typing import Any

import pytest
from sql_server_answers import Database, opened
from systems import POLL_INTERVAL, System, configured, eventually
from tds_recorder import Call, Failure, Recorder

from keysvc.master.cluster_member import Member
from keysvc.master.service import MasterSecretServer
from keysvc.master.standby import Standby
from keysvc.plugin import Guard, Identity, KeysvcError, PutIdentity, Role, utc_now
from keysvc.stores import sql_database
from keysvc.testing.mapping_store_samples import MINUTE

TTL = MINUTE / 100
OUTAGES = {
    922: "the database recovers",
    927: "it is restored",
    976: "the replica is secondary",
    983: "the replica changes its role",
    3906: "the database is read-only",
    4060: "it cannot be opened",
    18401: "the server upgrades",
    40501: "Azure SQL is busy",
    40613: "Azure SQL fails over",
    49918: "Azure SQL is short of resources",
    1205: "every transaction is a deadlock's victim",
    9002: "the log is full",
}


class BehindSQLServer:
    """A real mapping store, of which every call first asks SQL Server: what that refuses, this does."""

    def __init__(self, store: Any, recorder: Recorder) -> None:
        self._store, self._server = store, opened(recorder)
        self._server.epoch()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name == "close":
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            self._server.epoch()
            return method(*arguments, **options)

        return call


class ItsAuthority:
    def is_here(self) -> bool:
        return True


@pytest.fixture
def system(tmp_path) -> abc.Iterator[System]:
    made = configured(tmp_path)
    made.with_users("anna")
    yield made
    made.close()


@pytest.fixture
def database(monkeypatch) -> Database:
    monkeypatch.setattr(sql_database, "PAUSES", (0.0,))
    return Database()


@pytest.fixture
def store(system, database) -> abc.Iterator[BehindSQLServer]:
    recorder = Recorder(database)
    yield BehindSQLServer(system.store(), recorder)
    recorder.close()


def refuse(database: Database, number: int) -> None:
    database.instead = lambda call: None if "ROLLBACK" in call.sql else [Failure(number, OUTAGES[number])]


def answer(database: Database) -> None:
    def usual(_: Call) -> None:
        return None

    database.instead = usual


@pytest.mark.parametrize("number", OUTAGES)
def test_a_master_and_a_standby_outlive_it_and_one_of_them_acts_afterwards(system, store, database, number):
    store.commit([PutIdentity(Identity("master", Role.MASTER, "02", utc_now()))], Guard())
    failures: list[KeysvcError] = []
    key_store = system.key_store()
    standby = Standby(
        store, key_store, ItsAuthority(), lambda url: pytest.fail(f"nobody is to be followed, {url}"),
        name="master", url="", poll_interval=POLL_INTERVAL, lost_sight=lambda: None,
    )  # fmt: skip

    def term() -> MasterSecretServer:
        return MasterSecretServer(
            store, key_store, system.authority, poll_interval=POLL_INTERVAL, lease_ttl=TTL, name="master"
        )

    member = Member(store, standby, term, lease_ttl=TTL, changed=lambda: None, failed=failures.append)

    def acts() -> bool:
        try:
            return member.active.valid
        except KeysvcError:
            return False

    member.start()
    eventually(acts)
    refuse(database, number)
    eventually(lambda: not acts())
    time.sleep(TTL.total_seconds())  # as long again, as a standby
    answer(database)
    eventually(acts)
    assert not failures
    ending = threading.Thread(target=member.stop, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()


@pytest.mark.parametrize("number", OUTAGES)
def test_an_sso_server_answers_from_memory_meanwhile_and_stores_afterwards(system, store, database, number):
    system.start()
    sso, _ = system.sso(store=store)
    eventually(lambda: sso.status().can_encrypt)
    sso.set_credential("SAP", user="anna", password="geheim")
    assert sso.credential("SAP", user="anna")["password"].reveal() == "geheim"
    refuse(database, number)
    for _ in range(9):
        assert sso.credential("SAP", user="anna")["password"].reveal() == "geheim"
    answer(database)
    eventually(lambda: sso.status().can_encrypt)
    assert sso.set_credential("SAP", user="anna", password="neu") == 1
