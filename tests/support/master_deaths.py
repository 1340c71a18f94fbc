"""The life of a master secret server, killed at any line; another takes over, finishes what was begun, and nothing is
lost. On any mapping store."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import sys
import time
from collections import Counter, abc
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from systems import System, configured, eventually

import keysvc
from keysvc.crypto import transport
from keysvc.crypto.credentials import CredentialCipher
from keysvc.master import (
    backup,
    delivery,
    destruction,
    enrolment,
    rate_limit,
    reencryption,
    rotation,
    rotation_alerts,
    schedule,
    secrets,
    server_registry,
    servers,
    service,
    term,
    watch,
)
from keysvc.master.delivery import Subscription
from keysvc.master.join_token import JoinToken
from keysvc.master.service import MasterSecretServer
from keysvc.model import BackupRecord, Event, Role, VersionState, utc_now
from keysvc.plugin import paging, sealed
from keysvc.plugin.interfaces import MappingStore
from keysvc.stores import file, file_sealers, sql, sql_changes, sql_database
from keysvc.testing.deaths import Place, dies_at, places

POLL_INTERVAL = timedelta(milliseconds=100)
LEASE_TTL = timedelta(seconds=30)
ROTATION = (destruction, rotation_alerts, rate_limit, reencryption, rotation, schedule)
MASTER = (server_registry, backup, delivery, enrolment, *ROTATION, secrets, servers, service, term, watch)
STORES = (sealed, file, file_sealers, sql, sql_changes, sql_database)
CREDENTIALS = {f"user-{number}": f"geheim-{number}" for number in range(5)}
NOTIFIER = "kept"
ROTATING = ("rotation.started", "version.activated", "rotation.finished")
NOTES = ("attempted", "acknowledged")
PACKAGE = Path(keysvc.__file__).parents[1]


@dataclass
class Kept:
    """A notifier that keeps what it accepted in a file, durably."""

    path: Path

    def deliver(self, event: Event) -> None:
        with self.path.open("a", encoding="utf-8") as out:
            out.write(f"{event.event_id} {event.kind}\n")

    def accepted(self) -> Counter[str]:
        """How many events of each kind, repetitions not counted."""
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        return Counter(line.split()[1] for line in sorted(set(lines)))

    def close(self) -> None:
        pass


@dataclass
class Lives:
    """A system whose masters die one after the other. Nothing is ever put back: what a death leaves is what the next
    one begins with."""

    system: System
    notifier: Kept
    epoch: int = 0
    written: str = CREDENTIALS["user-0"]
    versions: dict[int, tuple[str, VersionState]] = field(default_factory=dict)
    names: abc.Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def begun(cls, folder: Path, mapping_store: str = "") -> Lives:
        """With five credentials under version 1."""
        folder.mkdir(exist_ok=True)
        system = configured(folder, mapping_store=mapping_store)
        system.with_users(*CREDENTIALS)
        lives = cls(system, Kept(folder / "delivered"))
        with lives.master():
            sso, _ = system.sso()
            for user, password in CREDENTIALS.items():
                sso.set_credential("SAP", user=user, password=password)
            sso.close()
        system.close()
        lives.take_over()
        return lives

    @contextlib.contextmanager
    def master(self) -> abc.Iterator[MasterSecretServer]:
        """A started one, stopped in the end."""
        store, key_store = self.system.store(), self.system.key_store()
        master = MasterSecretServer(
            store,
            key_store,
            self.system.authority,
            poll_interval=POLL_INTERVAL,
            lease_ttl=LEASE_TTL,
            subscriptions=[Subscription(NOTIFIER, self.notifier)],
        )
        lost: list[Exception] = []
        delivery.LOOK_SECONDS = 0.05
        master.start(lost.append)
        self.system.master = master
        try:
            yield master
        finally:
            master.stop()
            self.system.master = None
            store.close()
            key_store.close()
        assert lost == []

    # -- what dies -------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """All that a master writes: lease, SSO servers, tokens, certificates, a rotation in several batches, its
        backup, a destruction, deliveries."""
        reencryption.BATCH = 2
        name = f"web-{os.getpid()}-{next(self.names)}"
        with self.master() as master:
            master.poll("web", name, (1,))
            master.leave("web", name)
            token = master.identities.enroll(name, Role.SERVER, "administrator")
            master.identities.redeem(JoinToken.parse(str(token)).secret, certificate_request())
            master.identities.revoke(name, "administrator")
            old = master.status().active_version
            new = master.rotate("administrator").version
            self.wait_until_settled(master)
            receiver = transport.ReceiverKey.generate("X25519")
            master.fetch(new, receiver.kem, receiver.public, "web", Role.SERVER)
            master.record_backup(BackupRecord(utc_now(), (old, new)), "administrator")
            master.destroy(old, "administrator", force=False)
            self.wait_until_settled(master)

    def write(self) -> None:
        """An SSO server stores a credential; what was acknowledged is noted, durably."""
        value = f"geheim-{os.getpid()}-{time.monotonic_ns()}"
        with self.master(), self.system.sso(f"web-{os.getpid()}")[0] as sso:
            (self.system.folder / NOTES[0]).write_text(value)
            sso.set_credential("SAP", user="user-0", password=value)
            (self.system.folder / NOTES[1]).write_text(value)

    def check_written(self) -> None:
        """The value of `user-0` is what was acknowledged; where the writer died before that, the old or the new one."""
        attempted, acknowledged = (
            path.read_text() if path.exists() else "" for path in (self.system.folder / name for name in NOTES)
        )
        with contextlib.closing(self.system.store()) as store:
            row, application = store.credential("SAP", "user-0"), store.application("SAP")
        cipher = CredentialCipher(self.system.key_store().unseal(row.version), self.system.system_id)
        value = cipher.decrypt(application, "user-0", row.ciphertext)["Password"].reveal()
        assert value in ({attempted} if attempted == acknowledged != "" else {self.written, attempted})
        self.written = value

    def wait_until_settled(self, master: MasterSecretServer) -> None:
        """Unseen by the trace: reading is not what dies here."""
        traced = sys.gettrace()
        sys.settrace(None)
        with contextlib.closing(self.system.store()) as store:
            eventually(lambda: is_complete(store) and master.status().rotation is None, 30)
            eventually(lambda: not store.events(1, pending_for=NOTIFIER), 30)
        sys.settrace(traced)

    # -- what follows ----------------------------------------------------------------------------------------------

    def found(self) -> str:
        """How far the dead one came, as the data say it."""
        with contextlib.closing(self.system.store()) as store:
            records = {record.version: record.state for record in store.versions()}
            rows, sealed_versions = store.rows_by_version(), set(self.system.key_store().versions())
            held = store.lease() is not None
        newest = max(records)
        if not held:
            return "not the master" if max(self.versions, default=1) == newest else "gave the lease back"
        if newest == max(self.versions):
            return "sealed" if newest + 1 in sealed_versions else "as before"
        if records[newest] is VersionState.ANNOUNCED:
            return "announced"
        if left := sum(count for version, count in rows.items() if version != newest):
            return f"active, {left} rows to go"
        gone = {version for version, state in records.items() if state is VersionState.DESTROYED}
        if gone == set(records) - {newest}:
            return "recorded as destroyed" if gone & sealed_versions else "destroyed"
        return "all rows re-encrypted"

    def take_over(self) -> None:
        """The lease of the dead ends, which is all that time does here; a new master takes it and finishes."""
        with contextlib.closing(self.system.store()) as store:
            if (left := store.lease()) is not None:
                store.release_lease(left)
        with self.master() as master:
            assert master.epoch > self.epoch, "the epoch did not grow"
            self.epoch = master.epoch
            self.wait_until_settled(master)
        self.check()

    def check(self) -> None:
        """Nothing is lost, nothing went back, and what was told is what happened."""
        with contextlib.closing(self.system.store()) as store:
            records = {record.version: record for record in store.versions()}
            for version, (value, state) in self.versions.items():
                assert records[version].check_value == value, f"version {version} is another secret than before"
                order = list(VersionState)
                assert order.index(records[version].state) >= order.index(state), f"version {version} went back"
            self.versions = {v: (record.check_value, record.state) for v, record in records.items()}
            live = {v for v, record in records.items() if record.state is not VersionState.DESTROYED}
            key_store = self.system.key_store()
            sealed_versions = set(key_store.versions())
            assert live <= sealed_versions, "the key store lacks a version in use"
            assert sealed_versions - live <= {max(records) + 1}, "a destroyed version is in the key store"
            (active,) = (v for v, record in records.items() if record.state is VersionState.ACTIVE)
            assert store.rows_by_version() == {active: len(CREDENTIALS)}
            application = store.application("SAP")
            ciphers = {version: CredentialCipher(key_store.unseal(version), self.system.system_id) for version in live}
            for user, password in CREDENTIALS.items():
                row = store.credential("SAP", user)
                assert ciphers[row.version].decrypt(application, user, row.ciphertext)["Password"].reveal() == password
            pending = Counter(event.kind for event in store.events(50, pending_for=NOTIFIER))
            trail = Counter(entry.action for entry in all_of(store.audit))
        told = self.notifier.accepted() + pending
        for kind in (*ROTATING, "version.destroyed", "identity.enrolled", "backup.made"):
            assert told[kind] == trail[kind], f"{kind} was told {told[kind]} times and happened {trail[kind]} times"
        assert [trail[kind] for kind in ROTATING] == [len(records) - 1] * len(ROTATING)
        assert trail["version.destroyed"] == len(records) - len(live)


def is_complete(store: MappingStore) -> bool:
    """Whether the rotation to the active version was told to be at its end."""
    return store.versions().require_active().completed_at is not None


def all_of(audit: abc.Callable) -> abc.Iterator:
    return paging.rows(lambda after: audit(after=after), lambda entry: entry.sequence, 0)


def certificate_request() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


@dataclass
class Toll:
    """The deaths at one place, and what the successor found after each."""

    deaths: int = 0
    found: Counter[str] = field(default_factory=Counter)


def every_place(lives: Lives, modules: abc.Collection, *, sample: int | None) -> list[tuple[Place, int]]:
    """Each place where a master passes, the first and the last time that it does; or a sample of that many."""
    passed = places(lives.live, modules)
    lives.take_over()
    whole = [(place, time) for place, count in sorted(passed.items()) for time in sorted({1, count})]
    return whole if sample is None else sorted(random.Random(1).sample(whole, sample))


def kill_at(
    chosen: abc.Iterable[tuple[Place, int]], new: abc.Callable[[], Lives], modules: abc.Collection
) -> dict[Place, Toll]:
    """A death at each place, and a successor after each. A new system every hundred deaths, for the dead leave many
    destroyed versions behind."""
    tolls: dict[Place, Toll] = {}
    lives = new()
    for number, (place, occurrence) in enumerate(chosen, 1):
        if number % 100 == 0:
            lives = new()
        toll = tolls.setdefault(place, Toll())
        if dies_at(place, occurrence, lives.live, modules):
            toll.deaths += 1
            toll.found[lives.found()] += 1
        lives.take_over()
    return tolls


def table(tolls: abc.Mapping[Place, Toll]) -> str:
    """One line a place."""
    lines = [f"{'place':<72} deaths  what the next master found, and finished"]
    for place, toll in sorted(tolls.items()):
        path = Path(place.file)
        shown = f"{path.relative_to(PACKAGE) if PACKAGE in path.parents else path.name}:{place.line} {place.function}"
        found = ", ".join(f"{state} × {count}" if count > 1 else state for state, count in sorted(toll.found.items()))
        lines.append(f"{shown:<72} {toll.deaths:>6}  {found or 'did not come here so often again'}")
    deaths = sum(toll.deaths for toll in tolls.values())
    return "\n".join(
        [*lines, f"{len(tolls)} places, {deaths} deaths, each followed by a master that finished; nothing lost"]
    )
