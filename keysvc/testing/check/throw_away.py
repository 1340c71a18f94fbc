"""What a check works on instead of what is in use."""

from __future__ import annotations

import secrets
from collections import abc
from dataclasses import replace

from keysvc.model import MasterSecret
from keysvc.plugin.interfaces import KeyStore, KeyStoreInfo

FIRST_VERSION = 4_000_000_000
WINDOWS = 200_000
WINDOW = 1000
LARGEST_VERSION = 2**32 - 1


class ThrowAwayVersions:
    """A key store of which only a window of high version numbers is seen, numbered from 1 again."""

    def __init__(self, store: KeyStore, window: int) -> None:
        self._store = store
        self._first = FIRST_VERSION + window * WINDOW

    def info(self) -> KeyStoreInfo:
        return self._store.info()

    def versions(self) -> abc.Sequence[int]:
        shown = range(self._first, self._first + WINDOW)
        return [self._here(version) for version in self._store.versions() if version in shown]

    def seal(self, secret: MasterSecret) -> None:
        self._store.seal(replace(secret, version=self._there(secret.version)))

    def unseal(self, version: int) -> MasterSecret:
        return replace(self._store.unseal(self._there(version)), version=version)

    def random(self, count: int) -> bytes:
        return self._store.random(count)

    def destroy(self, version: int) -> None:
        self._store.destroy(self._there(version))

    def close(self) -> None:
        self._store.close()

    def _there(self, version: int) -> int:
        return self._first + min(version, WINDOW - 1)

    def _here(self, version: int) -> int:
        number = version - self._first
        return LARGEST_VERSION if number == WINDOW - 1 else number


def a_window() -> int:
    """Another one for each test, so that checks by two people do not meet."""
    return secrets.randbelow(WINDOWS)
