"""Which look-ups are recorded, and that none is answered whose record is due and cannot be written."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import event
from systems import InProcessMaster, System

from keysvc.errors import AccessDenied, AuditUnavailable, InvalidInput, KeysvcError, NotFound
from keysvc.model import AuditTrail
from keysvc.sso import SSO
from keysvc.stores.sqlite import SQLiteMappingStore


@pytest.fixture
def server(system: System):
    """With anna's credential, a mapping of bert that is disabled, and levels that a test sets before it."""
    system.with_users("anna", "bert")
    administration = system.administration()
    administration.enable_mapping("SAP", "bert", enabled=False)
    administration.change_application("SAP", flags={"host_initiated": True, "validate_password": False})
    system.start(poll_interval=timedelta(minutes=10))  # what was just looked up is in memory on the slowest machine too
    system.sso()[0].set_credential("SAP", user="anna", password="geheim")

    def with_levels(positive: int, negative: int, **options: float) -> SSO:
        administration.audit_levels(positive, negative)
        store = SQLiteMappingStore(system.folder / "keysvc.db", **options)
        opened = SSO(store, InProcessMaster(system, "web-02"), "web-02")
        system._open.append(opened)
        return opened

    return with_levels


def lookups(system: System) -> list[tuple[str, str]]:
    return [(entry.subject, entry.result) for entry in system.store().audit(AuditTrail.LOOKUPS)]


def look_everything_up(sso: SSO) -> None:
    sso.credential("SAP", user="anna")
    sso.credential("SAP", user="anna")  # from memory
    sso.lookup("SAP", external_user="ANNA")
    for user in ("bert", "nobody"):
        with contextlib.suppress(KeysvcError):
            sso.credential("SAP", user=user)


BY_EXTERNAL_USER, FROM_STORE = ("SAP: ANNA", "done"), ("SAP: anna", "done")
REFUSED, NOT_THERE = ("SAP: bert", "access-denied"), ("SAP: nobody", "not-found")


@pytest.mark.parametrize(
    ("positive", "negative", "recorded"),
    [
        (0, 0, []),
        (0, 1, [REFUSED]),
        (1, 2, [BY_EXTERNAL_USER, REFUSED, NOT_THERE]),
        (2, 1, [FROM_STORE, BY_EXTERNAL_USER, REFUSED]),
        (3, 3, [FROM_STORE, FROM_STORE, BY_EXTERNAL_USER, REFUSED, NOT_THERE]),
    ],
)
def test_the_levels_say_which_look_ups_are_recorded(system: System, server, positive, negative, recorded) -> None:
    look_everything_up(server(positive, negative))
    assert lookups(system) == recorded


def test_an_entry_says_who_from_where_and_is_sealed_at_once(system: System, server) -> None:
    server(2, 1).credential("SAP", user="anna")
    entry = system.store().audit(AuditTrail.LOOKUPS)[0]
    assert (entry.actor, entry.action, entry.result) == ("web-02", "credential.looked-up", "done")
    assert entry.origin
    head = next(head for head in system.store().audit_heads() if head.trail is AuditTrail.LOOKUPS)
    assert head.sealed_sequence == 1


def test_by_default_only_refusals_are_recorded(system: System) -> None:
    settings = system.store().system().settings
    assert (settings.audit_positive_level, settings.audit_negative_level) == (0, 1)


def test_a_level_that_does_not_exist_is_refused(system: System) -> None:
    with pytest.raises(InvalidInput, match="0, 1, 2 or 3"):
        system.administration().audit_levels(4, None)


def test_a_look_up_is_refused_after_a_deadline_while_the_database_is_locked(system: System, server) -> None:
    sso = server(2, 1, timeout=0.3)
    with contextlib.closing(sqlite3.connect(system.folder / "keysvc.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(AuditUnavailable, match=r"could not be recorded in the audit.*locked"):
            sso.credential("SAP", user="anna")
        with pytest.raises(AuditUnavailable):
            sso.credential("SAP", user="bert")
        assert time.monotonic() - began < 10
    assert sso.credential("SAP", user="anna", fresh=True)["password"].reveal() == "geheim"


def test_a_look_up_is_refused_while_the_disk_is_full_and_goes_on_when_there_is_room(system: System, server) -> None:
    sso = server(2, 1)
    engine = sso._store._engine

    def fill(connection, _record) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    engine.dispose()
    event.listen(engine, "connect", fill)
    with pytest.raises(AuditUnavailable, match="full"):  # noqa: PT012  the last page has room for some
        for _ in range(500):
            sso.credential("SAP", user="anna", fresh=True)
    event.remove(engine, "connect", fill)
    engine.dispose()
    assert sso.credential("SAP", user="anna", fresh=True)["password"].reveal() == "geheim"


def test_look_ups_that_are_not_recorded_go_on_while_nothing_can_be_written(system: System, server) -> None:
    sso = server(0, 1, timeout=0.3)
    with contextlib.closing(sqlite3.connect(system.folder / "keysvc.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert sso.credential("SAP", user="anna", fresh=True)["password"].reveal() == "geheim"


def test_look_ups_of_many_threads_are_each_recorded_once(system: System, server) -> None:
    sso = server(2, 1)

    def run() -> None:
        for _ in range(10):
            sso.credential("SAP", user="anna", fresh=True)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lookups(system) == [FROM_STORE] * 80


def test_what_is_refused_says_so_in_both_ways(system: System, server) -> None:
    sso = server(0, 2)
    with pytest.raises(AccessDenied):
        sso.credential("SAP", user="bert")
    with pytest.raises(NotFound):
        sso.credential("SAP", user="nobody")
    assert lookups(system) == [REFUSED, NOT_THERE]
