"""The PKCS#11 key store keeps every promise of a key store."""

from __future__ import annotations

from collections import abc

import pytest
from keysvc_pkcs11 import open_token
from keysvc_pkcs11.pin import PIN
from keysvc_pkcs11.process import TokenProcess
from keysvc_pkcs11.store import TokenShelf, open_key_store
from keysvc_pkcs11.uri import TokenURI

from keysvc.interfaces import KeyStore, Opening
from keysvc.model import Location, SecretText
from keysvc.testing import KeyStoreConformance

SYSTEM_ID = "5" * 32


def nobody(what: str) -> SecretText:
    raise AssertionError(f"nobody can be asked for the {what}")


class TestOnSoftHSM(KeyStoreConformance):
    """Every opening starts a process of its own, and logs in."""

    @pytest.fixture
    def open_store(self, softhsm) -> abc.Iterator[abc.Callable[[], KeyStore]]:
        opened: list[KeyStore] = []

        def open_again() -> KeyStore:
            opened.append(open_token(Opening(Location.parse(softhsm.url()), nobody, SYSTEM_ID)))
            return opened[-1]

        yield open_again
        for store in opened:
            store.close()


class TestWhatTheTokenKeeps(KeyStoreConformance):
    """One process for all, so that hundreds of entries can be changed in little time."""

    @pytest.fixture
    def process(self, softhsm) -> abc.Iterator[TokenProcess]:
        uri = TokenURI.parse(softhsm.url())
        process = TokenProcess(uri, SYSTEM_ID, PIN(uri, nobody))
        yield process
        process.close()

    @pytest.fixture
    def stored(self, process: TokenProcess):
        return TokenShelf(process)

    @pytest.fixture
    def open_store(self, process: TokenProcess):
        return lambda: open_key_store("pkcs11:token=prod", process, SYSTEM_ID)
