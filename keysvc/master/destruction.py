"""Destroying a version: last, and proved. A mapping store refuses it too, while a credential is under that version."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from keysvc.errors import CannotDecrypt, KeyStoreError, VersionInUse, VersionNotFound
from keysvc.master.events import EventKind, told
from keysvc.master.secrets import UnsealedVersions
from keysvc.master.spot_check import check_sample
from keysvc.master.term import Term
from keysvc.model import AuditTrail, VersionRecord, Versions, VersionState
from keysvc.plugin.changes import PutVersion, SealAudit
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.rotation")


class Destruction:
    """One operation of two steps, which can be repeated: the mapping store records the end of a version, then the key
    store removes it. `unfinished` says of which versions the key store refused the second step, and why."""

    def __init__(self, store: MappingStore, system_id: str, secrets: UnsealedVersions, term: Term) -> None:
        self._store = store
        self._system_id = system_id
        self._secrets = secrets
        self._term = term
        self.unfinished: dict[int, KeyStoreError] = {}

    def destroy(self, version: int, active: VersionRecord, actor: str, *, force: bool = False) -> None:
        """Destroy a version that retired, or remove one from the key store whose end is recorded already.

        Raises VersionNotFound; KeyStoreError when the second step is missing; VersionInUse while it is active or
        announced, while a credential is under it, while a sample does not decrypt under the active version, or, unless
        forced, while no backup holds the active version.
        """
        record = self._store.versions().find(version)
        if record is not None and not record.is_live and version in self._secrets.sealed_versions():
            self._remove(version)
            return
        if record is None or not record.is_live:
            raise VersionNotFound(f"there is no version {version} to destroy")
        if record.state is not VersionState.RETIRING:
            raise VersionInUse(f"version {version} is {record.state}, and only a retiring version can be destroyed")
        self._refuse_while_needed(version)
        try:
            check_sample(self._store, self._system_id, [self._secrets.get(active.version)])
        except CannotDecrypt as error:
            raise VersionInUse(str(error), hint="see every credential that does not: keysvc secret verify") from None
        if not force and not self._backup_holds(active.version):
            raise VersionInUse(
                f"no backup holds the active version {active.version}",
                hint="make one first: keysvc secret backup FILE",
            )
        changes = [
            PutVersion(replace(record, state=VersionState.DESTROYED)),
            *told(actor, EventKind.VERSION_DESTROYED, f"version {version}", forced=force),
            *(SealAudit(trail, self._secrets.audit_keys(self._system_id)) for trail in AuditTrail),
        ]
        self._term.commit(*changes, active=active.id)
        self._remove(version)

    def _remove(self, version: int) -> None:
        try:
            self._secrets.destroy(version)
        except KeyStoreError as error:
            if version not in self._secrets.sealed_versions():  # a recovery key store was away, and the error names it
                raise
            self.unfinished[version] = error
            what = f"the mapping store records version {version} as destroyed, but the key store still has it: {error}"
            raise type(error)(what, hint=f"{error.hint}; the master secret server then removes it by itself") from None
        self.unfinished.pop(version, None)
        log.info("destroyed a version", version=version)

    def _refuse_while_needed(self, version: int) -> None:
        first = self._store.credentials(under=version, limit=1)
        if first:
            count = self._store.rows_by_version().get(version, 0)
            raise VersionInUse(
                f"{count} credentials are still encrypted under version {version}, "
                f"such as that of {first[0].user} for {first[0].application}",
                hint="wait for the rotation, and see whether all of them decrypt: keysvc secret verify",
            )

    def _backup_holds(self, version: int) -> bool:
        backup = self._store.backup()
        return backup is not None and version in backup.versions

    def ready(self, version: int, active: VersionRecord) -> bool:
        """Whether a compromised version may go by itself: no row is under it, and a backup holds the active one."""
        return not self._store.credentials(under=version, limit=1) and self._backup_holds(active.version)

    def finish(self, versions: Versions) -> None:
        """Remove from the key store what the mapping store records as destroyed. What the key store refuses stays in
        `unfinished`, for the next call."""
        sealed = versions.destroyed.intersection(self._secrets.sealed_versions())
        for version in self.unfinished.keys() - sealed:
            self.unfinished.pop(version, None)
        for version in sealed:
            with contextlib.suppress(KeyStoreError):
                self._remove(version)
