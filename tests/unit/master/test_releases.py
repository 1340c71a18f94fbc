"""When the oldest release that may open the mapping store rises."""

from __future__ import annotations

from collections import abc
from datetime import timedelta

import pytest
from systems import System, eventually

from keysvc.errors import Conflict
from keysvc.master.releases import RAISED, Releases
from keysvc.master.servers import LiveServers, PollRequest
from keysvc.master.term import Term
from keysvc.model import Identity, Role, Server, utc_now
from keysvc.plugin.changes import UNGUARDED, PutIdentity, RaiseOldestReader, SeeServers
from keysvc.plugin.clock import elapsed
from keysvc.stores.migrations import MIGRATIONS
from keysvc.stores.sql_database import SQLDatabase

NEWEST = 9


class Members:
    """A store with schema 9, and whom its master saw."""

    def __init__(self, system: System, known: list[Server]) -> None:
        self.store = system.store()
        self.store.prepare()
        term = Term(self.store, timedelta(seconds=30))
        term.acquire()
        self.live = LiveServers(known, timedelta(seconds=30))
        self.releases = Releases(self.store, term, self.live, "master-1", timedelta(0))

    def oldest_reader(self) -> int:
        self.releases.raise_oldest_reader()
        return self.store.info().oldest_reader


@pytest.fixture
def members(system: System, monkeypatch: pytest.MonkeyPatch) -> abc.Callable[..., Members]:
    monkeypatch.setattr(SQLDatabase, "migrations", (*MIGRATIONS, *[nothing] * NEWEST)[:NEWEST])
    return lambda *known: Members(system, list(known))


def nothing(_connection: object) -> None:
    """A step that changes nothing."""


def test_it_rises_to_the_oldest_release_of_the_members_that_poll(members) -> None:
    seen = members()
    seen.live.saw(PollRequest("web-01", "1", (1,), schema_version=5))
    seen.live.saw(PollRequest("web-01", "2", (1,), schema_version=NEWEST + 1))
    assert seen.oldest_reader() == 5
    seen.live.saw(PollRequest("web-01", "1", (1,), schema_version=NEWEST))
    assert seen.oldest_reader() == NEWEST


def test_a_member_that_says_nothing_is_of_release_0_1(members) -> None:
    seen = members()
    seen.live.saw(PollRequest("web-01", "1", (1,)))
    assert seen.oldest_reader() == 2
    seen.live.left("web-01", "1")
    assert seen.oldest_reader() == NEWEST


def test_a_master_that_is_enrolled_and_does_not_poll_may_be_of_any_release(members) -> None:
    seen = members()
    seen.store.commit([PutIdentity(Identity("master-2", Role.MASTER, "0b", utc_now()))], UNGUARDED)
    assert seen.oldest_reader() == 2
    seen.live.saw(PollRequest("master-2", "1", (1,), Role.MASTER, schema_version=NEWEST))
    assert seen.oldest_reader() == NEWEST


def test_the_next_master_knows_the_releases_of_those_that_polled_before(members) -> None:
    server = Server("web-01", "1", (1,), utc_now(), schema_version=4)
    seen = members(server)
    seen.store.commit([SeeServers([server])], UNGUARDED)
    assert seen.store.servers() == [server]
    assert seen.oldest_reader() == 4


def test_a_member_that_polls_soon_after_a_master_began_is_waited_for(members) -> None:
    seen = members()
    seen.releases._wait_until = elapsed() + 60
    assert seen.oldest_reader() == 2


def test_a_rise_is_in_the_audit_once(members) -> None:
    seen = members()
    assert [seen.oldest_reader(), seen.oldest_reader()] == [NEWEST, NEWEST]
    assert [entry.subject for entry in seen.store.audit() if entry.action == RAISED] == [f"schema {NEWEST}"]


def test_a_started_master_raises_it_by_itself(system: System) -> None:
    with system.store()._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE guard SET oldest_reader = 1")
    system.start()
    newest = system.store().info().newest_schema
    eventually(lambda: system.store().info().oldest_reader == newest)


def test_it_never_falls_nor_passes_the_schema_of_the_store(system: System) -> None:
    store = system.store()
    newest = store.info().newest_schema
    store.commit([RaiseOldestReader(newest), RaiseOldestReader(newest - 1)], UNGUARDED)
    assert store.info().oldest_reader == newest
    with pytest.raises(Conflict):
        store.commit([RaiseOldestReader(newest + 1)], UNGUARDED)
