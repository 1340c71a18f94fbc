"""The versions that the master secret server holds unsealed, so that the key store is touched only when a version is
made, unsealed or destroyed; and the making of a new one."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import abc

from keysvc.crypto.audit import audit_keys
from keysvc.errors import KeyStoreError, SealBroken, VersionNotFound
from keysvc.model import MASTER_SECRET_BYTES, MasterSecret, SecretBytes, VersionId, VersionRecord, Versions, utc_now
from keysvc.plugin.audit_chain import AuditKeys
from keysvc.plugin.interfaces import KeyStore


class UnsealedVersions:
    """Thread-safe. `problems` says which versions the key store could not give, and why."""

    def __init__(self, key_store: KeyStore) -> None:
        self._key_store = key_store
        self._held: dict[int, MasterSecret] = {}
        self._lock = threading.Lock()
        self.problems: dict[int, KeyStoreError] = {}

    def load(self, versions: Versions) -> None:
        """Unseal what is missing, forget what is destroyed. A version that cannot be had becomes a problem.

        What is held is given out meanwhile: a key store may take a minute to say that it cannot be reached.
        """
        with self._lock:
            self._held = {version: held for version, held in self._held.items() if versions.describe(held)}
            missing = [record for record in versions.live if record.version not in self._held]
        problems: dict[int, KeyStoreError] = {}
        for record in missing:
            try:
                self.hold(self._unseal(record))
            except KeyStoreError as error:
                problems[record.version] = error
        self.problems = problems

    def _unseal(self, record: VersionRecord) -> MasterSecret:
        secret = self._key_store.unseal(record.version)
        if not record.describes(secret):
            raise SealBroken(f"version {record.version} in the key store is not the one that this system uses")
        return secret

    def get(self, version: int) -> MasterSecret:
        """Raises the problem that keeps it away, else VersionNotFound."""
        with self._lock:
            if version in self._held:
                return self._held[version]
            problem = self.problems.get(version)
        raise problem or VersionNotFound(f"version {version} is not held")

    def audit_keys(self, system_id: str) -> AuditKeys:
        """What seals audit trails, of every version that is held."""
        with self._lock:
            return audit_keys(self._held.values(), system_id)

    def generate(self, known: Versions) -> MasterSecret:
        """A new version, sealed, read back and compared. One that an earlier run sealed and never announced is used."""
        following = known.newest + 1
        if following in self._key_store.versions():
            orphan = self._key_store.unseal(following)
            self._key_store.seal(orphan)  # in those protectors too that the earlier run did not reach
            return self.hold(orphan)
        secret = MasterSecret(following, utc_now(), self._new_material())
        self._key_store.seal(secret)
        if self._key_store.unseal(secret.version) != secret:
            raise SealBroken(
                f"version {secret.version} reads back as another secret: it was not announced", hint=SealBroken.NOT_KEPT
            )
        return self.hold(secret)

    def _new_material(self) -> SecretBytes:
        """Unpredictable when either generator is: HMAC-SHA256 of the one under the other (NIST SP 800-133r2, 6.3)."""
        of_system, of_store = secrets.token_bytes(MASTER_SECRET_BYTES), self._key_store.random(MASTER_SECRET_BYTES)
        return SecretBytes(hmac.digest(of_system, of_store, "sha256"))

    def held(self) -> tuple[VersionId, ...]:
        """The versions that the key store gave, ascending."""
        with self._lock:
            return tuple(sorted(secret.id for secret in self._held.values()))

    def hold_all(self, versions: Versions) -> bool:
        """Whether every live version is held, with the key check value that is recorded."""
        return {*self.held()}.issuperset(record.id for record in versions.live)

    def lacks(self, record: VersionRecord) -> bool:
        """Whether the key store said that it has no such version, or has another secret under its number."""
        return isinstance(self.problems.get(record.version), VersionNotFound | SealBroken)

    def forget(self, versions: abc.Iterable[int]) -> None:
        """The key store does not have them any more."""
        with self._lock:
            for version in versions:
                self._held.pop(version, None)

    def hold(self, secret: MasterSecret) -> MasterSecret:
        """Keep a version that was just made."""
        with self._lock:
            self._held[secret.version] = secret
            self.problems.pop(secret.version, None)
        return secret

    def sealed_versions(self) -> abc.Sequence[int]:
        """What the key store holds; nothing while it cannot be reached."""
        try:
            return self._key_store.versions()
        except KeyStoreError:
            return ()

    def destroy(self, version: int) -> None:
        """Forget it, and remove it from the key store."""
        with self._lock:
            self._held.pop(version, None)
            self.problems.pop(version, None)
        self._key_store.destroy(version)
