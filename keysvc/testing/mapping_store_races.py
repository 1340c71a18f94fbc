"""The part of the conformance suite of mapping stores that is about several threads and stores at once."""

from __future__ import annotations

import os
import sys
import threading
from collections import abc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from keysvc.errors import Conflict, StaleVersion
from keysvc.model import AuditEntry, Guard, Lease, Mapping, Server
from keysvc.plugin.changes import UNGUARDED, AppendAudit, PutCredential, PutMapping, SeeServers
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.deaths import die_at_every_line, die_at_every_statement
from keysvc.testing.mapping_store_samples import (
    AT,
    MINUTE,
    OpenStore,
    a_credential,
    activate,
    check_every_kind_of_row,
    users,
)

WRITERS = 16
ROUNDS = 5


def at_once(actions: abc.Sequence[abc.Callable[[], object]]) -> list[object]:
    """Run all actions at the same moment; what they return, or the first error that one raises."""
    start = threading.Barrier(len(actions))

    def run(action: abc.Callable[[], object]) -> object:
        start.wait(30)
        return action()

    with ThreadPoolExecutor(len(actions)) as threads:
        return [future.result() for future in [threads.submit(run, action) for action in actions]]


class MappingStoreRaces:
    """Part of `MappingStoreConformance`."""

    def test_prepare_by_several_at_once_prepares_once(self, open_store: OpenStore) -> None:
        stores = [open_store() for _ in range(4)]
        at_once([store.prepare for store in stores])
        assert {store.info().schema_version for store in stores} == {stores[0].info().schema_version}
        assert (stores[0].info().schema_version >= 1, stores[0].epoch()) == (True, 0)
        for store in stores:
            store.close()

    @pytest.mark.skipif(os.name == "nt", reason="fork and SIGKILL are POSIX's")
    def test_a_prepare_that_dies_anywhere_is_finished_by_the_next(self, open_store: OpenStore) -> None:
        def prepare() -> None:
            own = open_store()
            own.prepare()
            own.close()

        def check(_death: int) -> None:
            own = open_store()
            seen.append(own.info().schema_version)
            own.close()

        seen: list[int] = []
        if not die_at_every_statement(prepare, check):  # no SQL: it dies in the code of the store
            store = open_store()
            code = {sys.modules[kind.__module__] for kind in type(store).__mro__ if kind is not object}
            store.close()
            die_at_every_line(prepare, check, code)
        assert seen == sorted(seen), "a store went back to an older schema"
        store = open_store()
        store.prepare()
        check_every_kind_of_row(store)
        store.close()

    def test_of_several_who_want_the_lease_one_gets_it(self, store: MappingStore, open_store: OpenStore) -> None:
        stores = [open_store() for _ in range(4)]
        granted = at_once([lambda s=s, n=n: s.grant_lease(f"{n}", MINUTE) for n, s in enumerate(stores)])  # type: ignore[misc]
        leases = [lease for lease in granted if isinstance(lease, Lease)]
        assert [lease.epoch for lease in leases] == [1]
        assert store.lease() == leases[0]
        for other in stores:
            other.close()

    def test_writers_with_compare_and_swap_lose_nothing(self, store: MappingStore, open_store: OpenStore) -> None:
        store.commit([PutMapping(Mapping("SAP", "alice", "0"))], UNGUARDED)

        def count_up(own: MappingStore) -> None:
            left = ROUNDS
            while left:
                row = own.mapping("SAP", "alice")
                assert row is not None
                try:
                    own.commit([PutMapping(replace(row, external_user=str(int(row.external_user) + 1)))], UNGUARDED)
                except Conflict:
                    continue
                left -= 1

        # half of them share a store, as threads of one process do
        stores = [store if number % 2 else open_store() for number in range(WRITERS)]
        at_once([lambda own=own: count_up(own) for own in stores])  # type: ignore[misc]
        row = store.mapping("SAP", "alice")
        assert row is not None
        assert row.external_user == str(WRITERS * ROUNDS)
        for own in stores:
            own.close()

    def test_a_new_row_that_several_write_at_once_is_written_by_all(
        self, store: MappingStore, open_store: OpenStore
    ) -> None:
        stores = [open_store() for _ in range(4)]
        for number in range(2 * ROUNDS):
            seen = SeeServers([Server(f"web-{number}", "1", (1,), AT)])
            at_once([lambda own=own: own.commit([seen], UNGUARDED) for own in stores])  # type: ignore[misc]  # noqa: B023
        assert len(store.servers()) == 2 * ROUNDS
        for other in stores:
            other.close()

    def test_no_credential_is_committed_under_a_retired_version(
        self, store: MappingStore, open_store: OpenStore
    ) -> None:
        names = [f"u{number}" for number in range(WRITERS)]
        store.commit(users(*names), UNGUARDED)
        last = 8
        finished = threading.Event()

        def write(user: str) -> None:
            own = open_store()
            while not finished.is_set():
                record = own.versions().require_active()
                active = record.version
                row = own.credential("SAP", user)
                assert row is not None
                put = PutCredential(replace(a_credential(user, active), revision=row.revision))
                try:
                    own.commit(
                        [put, AppendAudit(AuditEntry(AT, user, "write", str(active)))], Guard(active_version=record.id)
                    )
                except StaleVersion:
                    own.commit([AppendAudit(AuditEntry(AT, user, "refused", str(active)))], UNGUARDED)
            own.close()

        def rotate() -> None:
            own = open_store()
            try:
                for version in range(2, last + 1):
                    seen = len(own.audit(limit=10_000))
                    note = AppendAudit(AuditEntry(AT, "master", "activate", str(version)))
                    activate(own, version, instead_of=version - 1, also=[note])
                    while len(own.audit(limit=10_000)) < seen + WRITERS:
                        finished.wait(0.001)
            finally:
                finished.set()
                own.close()

        at_once([rotate, *(lambda user=user: write(user) for user in names)])
        active, written = "1", 0
        for entry in store.audit(limit=10_000):
            if entry.action == "activate":
                active = entry.subject
            elif entry.action == "write":
                written += 1
                assert entry.subject == active, (
                    f"entry {entry.sequence} wrote under {entry.subject}, active was {active}"
                )
        assert (active, written > 0) == (str(last), True)

    def test_a_reader_never_sees_half_a_commit(self, store: MappingStore, open_store: OpenStore) -> None:
        finished = threading.Event()

        def write() -> None:
            try:
                for number in range(10):
                    store.commit(users(*(f"{number}-{part}" for part in range(5))), UNGUARDED)
            finally:
                finished.set()

        def read() -> None:
            own = open_store()
            while not finished.is_set():
                assert len(own.credentials(limit=1000)) % 5 == 0
            own.close()

        at_once([write, read])
        assert len(store.credentials(limit=1000)) == 50

    @pytest.mark.skipif(os.name == "nt", reason="fork and SIGKILL are POSIX's")
    def test_a_client_that_dies_anywhere_in_a_commit_leaves_all_of_it_or_nothing(
        self, store: MappingStore, open_store: OpenStore
    ) -> None:
        code = {sys.modules[kind.__module__] for kind in type(store).__mro__ if kind is not object}
        store.close()  # a connection must not be in two processes

        def commit() -> None:
            name = f"u{os.getpid()}"
            own = open_store()
            own.commit([*users(name), AppendAudit(AuditEntry(AT, name, "write", name))], UNGUARDED)

        def check(_death: int) -> None:
            own = open_store()
            written = [entry.subject for entry in own.audit(limit=10_000)]
            assert sorted(written) == [mapping.user for mapping in own.mappings("SAP", limit=10_000)]
            assert sorted(written) == [credential.user for credential in own.credentials(limit=10_000)]
            own.commit([], UNGUARDED)  # no lock stays behind
            own.close()

        assert die_at_every_line(commit, check, code, step=3) > 5

    def test_leases_change_hands_without_two_epochs_alike(self, store: MappingStore, open_store: OpenStore) -> None:
        def take_and_release(holder: str) -> list[int]:
            own = open_store()
            epochs: list[int] = []
            while len(epochs) < ROUNDS:
                lease = own.grant_lease(holder, timedelta(seconds=30))
                if lease is not None:
                    epochs.append(lease.epoch)
                    own.release_lease(lease)
            own.close()
            return epochs

        granted = at_once([lambda holder=f"{number}": take_and_release(holder) for number in range(3)])  # type: ignore[misc]
        epochs = sorted(epoch for epochs in granted if isinstance(epochs, list) for epoch in epochs)
        assert epochs == list(range(1, 3 * ROUNDS + 1))
        assert store.epoch() == 3 * ROUNDS
