"""Rotation: generate, announce, activate, re-encrypt, verify. What comes next is read from the data each time: no
progress file, every step repeatable, so that the next master goes on wherever the last one died."""

from __future__ import annotations

import threading
from collections import abc
from dataclasses import replace

import structlog

from keysvc.changes import Change, PutVersion, Reencrypt
from keysvc.crypto.credentials import CredentialCipher, Reencryption
from keysvc.errors import CannotDecrypt, NotConfigured, VersionInUse, VersionNotFound
from keysvc.interfaces import MappingStore
from keysvc.master.events import EventKind, told
from keysvc.master.lease import Leadership
from keysvc.master.sample import check_sample
from keysvc.master.secrets import UnsealedVersions
from keysvc.master.servers import LiveServers
from keysvc.model import (
    CredentialKey,
    EncryptedCredential,
    Guard,
    MasterSecret,
    VersionRecord,
    VersionState,
)

log = structlog.get_logger("keysvc.rotation")
BATCH = 2000
SERVICE = "master secret server"


class Rotation:
    """Called by the one worker of the master secret server; `start` and `destroy` by anyone."""

    def __init__(
        self,
        store: MappingStore,
        system_id: str,
        secrets: UnsealedVersions,
        leadership: Leadership,
        servers: LiveServers,
    ) -> None:
        self._store = store
        self._system_id = system_id
        self._secrets = secrets
        self._leadership = leadership
        self._servers = servers
        self._changing = threading.Lock()
        self._after: CredentialKey | None = None
        self._moved_in_pass = 0
        self._settled_under: int | None = None  # no row can come under another version while this one is active
        self.undecryptable: set[CredentialKey] = set()

    def start(self, actor: str) -> VersionRecord:
        """Generate and announce a new version. While one is announced already, that one is the answer."""
        with self._changing:
            self._leadership.require()
            records = self._store.versions()
            for record in records:
                if record.state is VersionState.ANNOUNCED:
                    return record
            active_of(records)
            secret = self._secrets.generate(record.version for record in records)
            record = announced(secret)
            named = f"version {record.version}"
            generated = told(actor, EventKind.SECRET_GENERATED, named)
            self._commit([PutVersion(record), *generated, *told(actor, EventKind.ROTATION_STARTED, named)])
            log.info("announced a new version", version=record.version)
            return record

    def advance(self) -> bool:
        """Do the next step that the data asks for. True when there may be more to do at once."""
        with self._changing:
            records = self._store.versions()
            active = active_of(records)
            for record in records:
                if record.state is VersionState.ANNOUNCED:
                    return self._activate(record, active)
            return self._settled_under != active.version and self._reencrypt_a_batch(active.version)

    def _activate(self, new: VersionRecord, old: VersionRecord) -> bool:
        waiting = self._servers.waiting_for(new.version)
        if waiting:
            return False
        self._commit(
            [
                PutVersion(replace(old, state=VersionState.RETIRING)),
                PutVersion(replace(new, state=VersionState.ACTIVE)),
                *told(SERVICE, EventKind.VERSION_ACTIVATED, f"version {new.version}"),
            ]
        )
        log.info("activated a version", version=new.version)
        return True

    def _reencrypt_a_batch(self, active: int) -> bool:
        rows = self._store.credentials(after=self._after, limit=BATCH, not_under=active)
        if not rows:
            return self._end_of_pass(active)
        new = CredentialCipher(self._secrets.get(active), self._system_id)
        moved = list(self._moved(rows, new))
        if moved:
            self._store.commit([Reencrypt(moved)], Guard(self._leadership.epoch, active))
        self._moved_in_pass += len(moved)
        self._after = rows[-1].key
        return True

    def _moved(
        self, rows: abc.Iterable[EncryptedCredential], new: CredentialCipher
    ) -> abc.Iterator[EncryptedCredential]:
        groups: dict[tuple[str, int], list[EncryptedCredential]] = {}
        for row in rows:
            groups.setdefault((row.application, row.version), []).append(row)
        for (name, version), alike in groups.items():
            application = self._store.application(name)
            if application is None:  # deleted since the page was read, and its rows with it
                continue
            try:
                old = CredentialCipher(self._secrets.get(version), self._system_id)
                moved, failed = Reencryption(old, new, application).move(alike)
            except VersionNotFound:
                moved, failed = [], alike
            self._note_undecryptable(failed)
            if self.undecryptable:
                self.undecryptable.difference_update(row.key for row in moved)
            yield from moved

    def _note_undecryptable(self, rows: abc.Iterable[EncryptedCredential]) -> None:
        for row in rows:
            if row.key not in self.undecryptable:
                log.error(
                    "a credential does not decrypt", application=row.application, user=row.user, version=row.version
                )
            self.undecryptable.add(row.key)

    def _end_of_pass(self, active: int) -> bool:
        moved, self._moved_in_pass, self._after = self._moved_in_pass, 0, None
        rows = self._store.rows_by_version()
        if any(count for version, count in rows.items() if version != active):
            return moved > 0
        self.undecryptable.clear()
        self._settled_under = active
        if moved:
            checked = check_sample(self._store, self._system_id, [self._secrets.get(active)])
            self._commit(
                told(
                    SERVICE,
                    EventKind.ROTATION_FINISHED,
                    f"version {active}",
                    rows=rows.get(active, 0),
                    verified=checked,
                )
            )
            log.info("re-encrypted all credentials", version=active, rows=rows.get(active, 0), verified=checked)
        return False

    def destroy(self, version: int, actor: str, *, force: bool = False) -> None:
        """Destroy a version that retired. Raises VersionNotFound; VersionInUse while it is active or announced, while a
        credential is under it, while a sample does not decrypt under the active version, or, unless forced, while no
        backup holds the active version."""
        with self._changing:
            self._leadership.require()
            records = {record.version: record for record in self._store.versions()}
            record = records.get(version)
            if record is None or record.state is VersionState.DESTROYED:
                raise VersionNotFound(f"there is no version {version} to destroy")
            if record.state is not VersionState.RETIRING:
                raise VersionInUse(f"version {version} is {record.state}, and only a retiring version can be destroyed")
            active = active_of(records.values())
            rows = self._store.rows_by_version().get(version, 0)
            if rows:
                raise VersionInUse(f"{rows} credentials are still encrypted under version {version}")
            try:
                check_sample(self._store, self._system_id, [self._secrets.get(active.version)])
            except CannotDecrypt as error:
                raise VersionInUse(str(error)) from None
            backup = self._store.backup()
            if not force and (backup is None or active.version not in backup.versions):
                raise VersionInUse(
                    f"no backup holds the active version {active.version}",
                    hint="make one first: keysvc secret backup FILE",
                )
            changes = [
                PutVersion(replace(record, state=VersionState.DESTROYED)),
                *told(actor, EventKind.VERSION_DESTROYED, f"version {version}", forced=force),
            ]
            self._store.commit(changes, Guard(self._leadership.epoch, active.version))
            self._secrets.destroy(version)
            log.info("destroyed a version", version=version)

    def finish_destroying(self) -> None:
        """Remove from the key store what the mapping store records as destroyed: a master may have died in between."""
        destroyed = {r.version for r in self._store.versions() if r.state is VersionState.DESTROYED}
        for version in destroyed.intersection(self._secrets.sealed_versions()):
            self._secrets.destroy(version)

    def _commit(self, changes: abc.Sequence[Change]) -> None:
        self._store.commit(changes, self._leadership.guard)


def announced(secret: MasterSecret, state: VersionState = VersionState.ANNOUNCED) -> VersionRecord:
    """The record of a version that was just sealed."""
    return VersionRecord(secret.version, state, secret.created_at, secret.check_value)


def active_of(records: abc.Iterable[VersionRecord]) -> VersionRecord:
    """The one active version. Raises NotConfigured when there is none."""
    for record in records:
        if record.state is VersionState.ACTIVE:
            return record
    raise NotConfigured("no master secret has been generated")
