"""The master secret in memory, and the permission to encrypt with it."""

from __future__ import annotations

import threading
from collections import abc
from dataclasses import dataclass, field, replace

from keysvc.crypto.audit import audit_keys
from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import MasterSecretServerUnavailable
from keysvc.model import Announcement, MasterSecret, VersionId, VersionRecord, Versions
from keysvc.plugin.audit_chain import AuditKeys
from keysvc.plugin.clock import elapsed

FIRST_INTERVAL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _State:
    announcement: Announcement | None = None
    ciphers: abc.Mapping[int, CredentialCipher] = field(default_factory=dict)
    audit_keys: AuditKeys | None = None


class VersionCache:
    """Thread-safe: readers take one immutable state, and never wait."""

    def __init__(self) -> None:
        self._state = _State()
        self._permitted_until = 0.0
        self._lock = threading.Lock()

    @property
    def announcement(self) -> Announcement | None:
        """The newest that was accepted."""
        return self._state.announcement

    def interval(self) -> float:
        """Seconds between polls, as the master secret server wants it."""
        known = self._state.announcement
        return known.poll_interval.total_seconds() if known else FIRST_INTERVAL_SECONDS

    def held(self) -> tuple[VersionId, ...]:
        """The versions in memory, ascending."""
        return tuple(sorted(cipher.id for cipher in self._state.ciphers.values()))

    def missing(self, versions: Versions) -> list[VersionRecord]:
        """Those that are not in memory with the key check value that is announced."""
        ciphers = self._state.ciphers
        return [
            record
            for record in versions
            if (cipher := ciphers.get(record.version)) is None or not record.describes(cipher.secret)
        ]

    def replace(self, announcement: Announcement, fetched: abc.Iterable[MasterSecret]) -> None:
        """Take over an announcement: versions that it no longer names are forgotten."""
        with self._lock:
            kept = (cipher for cipher in self._state.ciphers.values() if announcement.versions.describe(cipher.secret))
            ciphers = {cipher.secret.version: cipher for cipher in kept}
            ciphers.update({s.version: CredentialCipher(s, announcement.system_id) for s in fetched})
            keys = audit_keys((cipher.secret for cipher in ciphers.values()), announcement.system_id)
            self._state = _State(announcement, ciphers, keys)

    def load(self, secrets: abc.Iterable[MasterSecret], system_id: str) -> None:
        """Take over what an earlier process left sealed, to decrypt with alone: nothing is announced yet."""
        with self._lock:
            ciphers = {secret.version: CredentialCipher(secret, system_id) for secret in secrets}
            self._state = replace(self._state, ciphers={**ciphers, **self._state.ciphers})

    def follow(self, versions: Versions) -> bool:
        """Take over which versions there are, and which is active, from the mapping store. False, and nothing changes,
        when the active one is not in memory."""
        with self._lock:
            state = self._state
            active = versions.active
            if state.announcement is None or active is None or self.missing(Versions([active])):
                return False
            known = state.announcement.active
            if known is not None and known.version > active.version:
                return True  # another thread has heard of a newer one since these were read
            self._state = replace(state, announcement=replace(state.announcement, versions=versions.live))
            return True

    def forget(self) -> None:
        """Everything, and the permission to encrypt."""
        with self._lock:
            self._state, self._permitted_until = _State(), 0.0

    def permit(self, since: float, epoch: int) -> None:
        """A poll sent at `since` was answered well under `epoch`: the announced permission to encrypt counts from
        then, unless another epoch was announced meanwhile."""
        with self._lock:
            announcement = self._state.announcement
            if announcement is not None and announcement.epoch == epoch:
                until = since + announcement.permission.total_seconds()
                self._permitted_until = max(self._permitted_until, until)

    @property
    def permitted(self) -> bool:
        """Whether this SSO server may encrypt now."""
        return elapsed() < self._permitted_until

    def to_encrypt(self) -> CredentialCipher:
        """The active version's cipher. Raises MasterSecretServerUnavailable without permission."""
        state = self._state
        active = state.announcement.active if state.announcement else None
        cipher = state.ciphers.get(active.version) if active else None
        if cipher is None or not self.permitted:
            raise MasterSecretServerUnavailable(
                "the master secret server has not answered for two poll intervals: nothing can be encrypted"
                if cipher
                else "the master secret has not been fetched from the master secret server yet"
            )
        return cipher

    @property
    def audit_keys(self) -> AuditKeys | None:
        """What seals audit trails, of the versions in memory; None before the first poll."""
        return self._state.audit_keys

    def to_decrypt(self, version: int) -> CredentialCipher | None:
        """The cipher of a version, or None when it is not in memory."""
        return self._state.ciphers.get(version)
