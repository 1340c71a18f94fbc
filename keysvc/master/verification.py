"""Verification: every credential is decrypted, on the machine of the SSO administrator who asks. In pages: a million
rows take no more memory than a thousand, and the master secret server answers others meanwhile."""

from __future__ import annotations

import time
from collections import abc
from dataclasses import dataclass

from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import CannotDecrypt
from keysvc.model import Application, EncryptedCredential, MasterSecret
from keysvc.plugin import paging
from keysvc.plugin.interfaces import MappingStore

NAMED = 1000

Fetch = abc.Callable[[], abc.Iterable[MasterSecret]]
Progress = abc.Callable[[int], object]


@dataclass(frozen=True, slots=True)
class VersionCount:
    """How many credentials are under a version, and how many of them do not decrypt."""

    version: int
    rows: int
    undecryptable: int


@dataclass(frozen=True, slots=True)
class UndecryptableCredential:
    """By name, without its ciphertext."""

    application: str
    user: str
    version: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What was decrypted, and what was not: `undecryptable` names the first thousand of `undecryptable_rows`."""

    rows: int
    undecryptable_rows: int
    versions: tuple[VersionCount, ...]
    undecryptable: tuple[UndecryptableCredential, ...]
    seconds: float


def verify(store: MappingStore, system_id: str, fetch: Fetch, progress: Progress = lambda _done: None) -> Verification:
    """Decrypt every credential there is, with the versions that `fetch` gives; it is called again when a row is under a
    newer one. A row that is changed or deleted meanwhile is taken as it is then. Changes nothing."""
    return _Verifying(store, system_id, fetch, progress).run()


class _Verifying:
    def __init__(self, store: MappingStore, system_id: str, fetch: Fetch, progress: Progress) -> None:
        self._store = store
        self._system_id = system_id
        self._fetch = fetch
        self._progress = progress
        self._ciphers: dict[int, CredentialCipher] = {}
        self._missing: set[int] = set()
        self._applications: dict[str, Application | None] = {}
        self._counts: dict[int, list[int]] = {}
        self._named: list[UndecryptableCredential] = []

    def run(self) -> Verification:
        """All of it."""
        began = time.monotonic()
        self._take_versions()
        done = 0
        for page in paging.batches(paging.credentials(self._store)):
            for row in page:
                self._look_at(row)
            done += len(page)
            self._progress(done)
        versions = tuple(VersionCount(version, *counts) for version, counts in sorted(self._counts.items()))
        failed = sum(counted.undecryptable for counted in versions)
        seconds = round(time.monotonic() - began, 1)
        return Verification(sum(counted.rows for counted in versions), failed, versions, tuple(self._named), seconds)

    def _take_versions(self) -> None:
        self._ciphers |= {secret.version: CredentialCipher(secret, self._system_id) for secret in self._fetch()}

    def _look_at(self, row: EncryptedCredential) -> None:
        good = self._decrypts(row)
        if not good:
            again = self._store.credential(row.application, row.user)
            if again is None:
                return
            self._applications.pop(row.application, None)  # it may be another one of the same name now
            row, good = again, self._decrypts(again)
        counts = self._counts.setdefault(row.version, [0, 0])
        counts[0] += 1
        if not good:
            counts[1] += 1
            if len(self._named) < NAMED:
                self._named.append(UndecryptableCredential(row.application, row.user, row.version))

    def _decrypts(self, row: EncryptedCredential) -> bool:
        if row.application not in self._applications:
            self._applications[row.application] = self._store.application(row.application)
        application, cipher = self._applications[row.application], self._cipher(row.version)
        if application is None or cipher is None:
            return False
        try:
            cipher.decrypt(application, row.user, row.ciphertext)
        except CannotDecrypt:
            return False
        return True

    def _cipher(self, version: int) -> CredentialCipher | None:
        if version not in self._ciphers and version not in self._missing:
            self._take_versions()
            if version not in self._ciphers:
                self._missing.add(version)
        return self._ciphers.get(version)
