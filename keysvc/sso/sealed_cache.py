"""Versions on this machine's disk, sealed, so that an SSO server that starts while no master secret server is up can
decrypt. Off by default."""

from __future__ import annotations

from collections import abc
from dataclasses import replace
from datetime import datetime, timedelta

from keysvc.errors import KeyStoreError, KeysvcError, VersionAlreadySealed
from keysvc.model import Announcement, MasterSecret, VersionRecord, utc_now
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.sealed_cache")
CLOCKS_DIFFER = timedelta(minutes=5)
CONFIRMED_AGAIN = 10
"""A version is sealed again when a tenth of its age has gone."""


class SealedCache:
    """A key store of this machine's own. `created_at` of what is sealed there is when the master secret server last
    confirmed the version: so its age is sealed with it. A copy that is older than `maximum_age`, that the system knows
    as destroyed, or that is not this system's very version, is not used.

    It never raises: an SSO server works without it.
    """

    def __init__(self, key_store: KeyStore, maximum_age: timedelta) -> None:
        self._key_store = key_store
        self._maximum_age = maximum_age
        self._confirmed: dict[int, datetime] = {}
        self._live: set[int] | None = None

    def confirm(self, announcement: Announcement, fetched: abc.Iterable[MasterSecret] = ()) -> None:
        """The master secret server announces these now: seal what was fetched, and again what was sealed long ago;
        destroy the rest. Cheap while nothing is due."""
        now = utc_now()
        live = {record.version for record in announcement.versions}
        try:
            for secret in fetched:
                self._seal(replace(secret, created_at=now))
            for version in live.intersection(self._confirmed):
                if now - self._confirmed[version] > self._maximum_age / CONFIRMED_AGAIN:
                    self._seal(replace(self._key_store.unseal(version), created_at=now))
            if self._live != live:
                for version in set(self._key_store.versions()) - live:
                    self._destroy(version)
                self._live = live
        except KeysvcError as error:
            log.warning("the sealed cache was not written", problem=str(error))

    def load(self, store: MappingStore) -> tuple[list[MasterSecret], timedelta]:
        """What may still be used, and for how long. Destroys what may not."""
        now, found = utc_now(), list[tuple[MasterSecret, datetime]]()
        try:
            live = store.versions().live
            for version in self._key_store.versions():
                secret = self._usable(version, live.find(version), now)
                if secret is not None:
                    found.append((secret, secret.created_at))
                    self._confirmed[version] = secret.created_at
        except KeysvcError as error:
            log.warning("the sealed cache cannot be used", problem=str(error))
        left = min((confirmed + self._maximum_age - now for _, confirmed in found), default=timedelta())
        return [secret for secret, _ in found], left

    def destroy(self) -> None:
        """All of it: this SSO server was revoked."""
        try:
            for version in self._key_store.versions():
                self._destroy(version)
        except KeysvcError as error:
            log.warning("the sealed cache could not be destroyed", problem=str(error))

    def close(self) -> None:
        """Repeatable."""
        self._key_store.close()

    def _seal(self, secret: MasterSecret) -> None:
        try:
            self._key_store.destroy(secret.version)
            self._key_store.seal(secret)
        except VersionAlreadySealed:  # by another process of this machine, this moment
            pass
        self._confirmed[secret.version] = secret.created_at

    def _usable(self, version: int, record: VersionRecord | None, now: datetime) -> MasterSecret | None:
        try:
            secret = self._key_store.unseal(version)
        except KeyStoreError as error:
            log.warning("a version of the sealed cache does not open", version=version, problem=str(error))
            return None
        age = now - secret.created_at
        if record is None or not record.describes(secret) or not -CLOCKS_DIFFER <= age <= self._maximum_age:
            log.warning("a version of the sealed cache is too old, destroyed or another's: removed", version=version)
            self._destroy(version)
            return None
        return secret

    def _destroy(self, version: int) -> None:
        self._confirmed.pop(version, None)
        self._key_store.destroy(version)
