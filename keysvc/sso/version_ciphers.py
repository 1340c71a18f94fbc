"""The ciphers of the versions: from memory, and what is not there is fetched."""

from __future__ import annotations

import contextlib

from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import CannotDecrypt, KeysvcError
from keysvc.model import Application, EncryptedCredential, SecretText
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.poller import Poller
from keysvc.sso.version_cache import VersionCache


class Ciphers:
    """Thread-safe."""

    def __init__(self, store: MappingStore, cache: VersionCache, poller: Poller) -> None:
        self._store = store
        self._cache = cache
        self._poller = poller

    def to_encrypt(self) -> CredentialCipher:
        """Of the active version. Raises MasterSecretServerUnavailable without permission."""
        if not self._cache.permitted:
            with contextlib.suppress(KeysvcError):  # it may permit, and fail for another version
                self._poller.poll_now()
        return self._cache.to_encrypt()

    def of(self, version: int | None) -> CredentialCipher:
        """Of a version, or of the active one for None, whether encrypting is permitted or not. Raises CannotDecrypt for
        one that is gone, MasterSecretServerUnavailable for one that was never fetched."""
        if version is None:
            announcement = self._cache.announcement
            if announcement is None or announcement.active is None:
                raise self._poller.unavailable("the master secret has not been fetched yet")
            version = announcement.active.version
        return self._cache.to_decrypt(version) or self._fetched(version)

    def decrypt(self, application: Application, row: EncryptedCredential) -> dict[str, SecretText]:
        """The fields of a row. Raises CannotDecrypt; MasterSecretServerUnavailable where memory has another secret than
        the mapping store records under the number of the version, and the right one cannot be fetched now."""
        cipher = self.of(row.version)
        try:
            return cipher.decrypt(application, row.user, row.ciphertext)
        except CannotDecrypt:
            record = self._store.versions().find(row.version)
            if record is None or record.id == cipher.id:
                raise
        self._poller.poll_now()
        return self.of(row.version).decrypt(application, row.user, row.ciphertext)

    def learn_active_version(self) -> None:
        """From the master secret server; while that is away, from the mapping store. A version becomes active only when
        this SSO server holds it or may not encrypt, so that a failover costs no permission that it has."""
        try:
            self._poller.poll_now()
        except KeysvcError:
            if not self._cache.follow(self._store.versions()):
                raise

    def _fetched(self, version: int) -> CredentialCipher:
        """A version that is not in memory may have been announced since the last poll."""
        failed: KeysvcError | None = None
        try:
            self._poller.poll_now()
        except KeysvcError as error:
            failed = error
        cipher = self._cache.to_decrypt(version)  # another thread may have fetched it while this one failed
        if cipher is not None:
            return cipher
        if failed is not None:
            raise self._poller.unavailable(f"version {version} is not in memory") from failed
        raise CannotDecrypt(f"the credential needs version {version}, which this system does not have any more")
