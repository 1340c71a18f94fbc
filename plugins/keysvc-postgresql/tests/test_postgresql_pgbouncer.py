"""Through a real PgBouncer, in its session and its transaction mode."""

from __future__ import annotations

from collections import abc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from keysvc_postgresql.sessions import given
from keysvc_postgresql.store import PostgreSQLMappingStore
from pgbouncer import pgbouncer
from postgresql_server import PostgreSQLServer

from keysvc.plugin import UNGUARDED, ConfigurationError, PutApplication
from keysvc.testing import MappingStoreConformance
from keysvc.testing.mapping_store_samples import an_application, users

TIMEOUTS = ("lock_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture(scope="module", params=["session", "transaction"])
def port(request: pytest.FixtureRequest, server: PostgreSQLServer) -> abc.Iterator[int]:
    """The port of a PgBouncer, which lends few sessions in transaction mode."""
    with pgbouncer(server.port, request.param, connections=40 if request.param == "session" else 4) as port:
        yield port


@pytest.fixture
def pooled_url(url: str, server: PostgreSQLServer, port: int) -> str:
    """An empty database behind PgBouncer."""
    return url.replace(f":{server.port}/", f":{port}/")


class TestThroughPgBouncer(MappingStoreConformance):
    @pytest.fixture
    def open_store(self, pooled_url: str):
        return lambda: PostgreSQLMappingStore(pooled_url)


def timeouts(store: PostgreSQLMappingStore) -> list[str]:
    """As they are inside a transaction that writes."""
    return store._transaction(
        lambda connection: [str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in TIMEOUTS]
    )


def test_both_time_outs_hold_in_each_transaction_that_writes(pooled_url: str) -> None:
    store = PostgreSQLMappingStore(pooled_url)
    assert [timeouts(store) for _ in range(9)] == [["10s", "10s"]] * 9
    store.close()


def test_both_time_outs_hold_without_a_pooler_and_options_win_over_them(url: str) -> None:
    store = PostgreSQLMappingStore(url)
    assert timeouts(store) == ["10s", "10s"]
    store.close()
    own = PostgreSQLMappingStore(f"{url}?options=-c%20lock_timeout%3D3s")
    assert timeouts(own) == ["3s", "10s"]
    own.close()


def test_a_lease_is_kept_while_others_read_and_write(pooled_url: str) -> None:
    """Far more often than libpq's driver waits before it prepares a statement in a session that it believes its own."""
    store = PostgreSQLMappingStore(pooled_url)
    store.prepare()
    store.commit([PutApplication(an_application()), *users("alice")], UNGUARDED)

    def work(number: int) -> int:
        return len(store.mappings("SAP")) if number % 2 else store.epoch()

    with ThreadPoolExecutor(8) as threads:
        busy = [threads.submit(work, number) for number in range(200)]
        for _ in range(20):
            assert store.grant_lease("master", timedelta(seconds=30), "") is not None
        assert [each.result() for each in busy][1::2] == [1] * 100
    store.close()


def test_an_option_that_the_pooler_ignores_is_refused_by_name(url: str, server: PostgreSQLServer) -> None:
    with pgbouncer(server.port, "transaction", ignored="options") as port:
        pooled = url.replace(f":{server.port}/", f":{port}/")
        store = PostgreSQLMappingStore(f"{pooled}?options=-c%20lock_timeout%3D3s%20-c%20search_path%3Dkeysvc")
        with pytest.raises(ConfigurationError, match="ignores the option lock_timeout=3s") as refused:
            store.prepare()
        assert "ALTER ROLE" in refused.value.hint
        store.close()


def test_options_are_read_as_libpq_reads_them() -> None:
    assert given(r"-c lock_timeout=3s -csearch_path=a,b --statement-timeout=5s -c TimeZone=a\ b") == {
        "lock_timeout": "3s",
        "search_path": "a,b",
        "statement_timeout": "5s",
        "timezone": "a b",
    }
