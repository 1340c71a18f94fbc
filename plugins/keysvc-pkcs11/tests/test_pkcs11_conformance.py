"""The PKCS#11 key store keeps every promise of a key store, with each of its mechanisms."""

from __future__ import annotations

from collections import abc

import pytest
from keysvc_pkcs11.pin import PIN
from keysvc_pkcs11.process import TokenProcess
from keysvc_pkcs11.store import TokenShelf, open_key_store
from keysvc_pkcs11.uri import TokenURI

from keysvc.plugin import KeyStore, Location, SealBroken, SecretText
from keysvc.plugin.secret_sources import sourced
from keysvc.testing import KeyStoreConformance
from keysvc.testing.key_store import secret

SYSTEM_ID = "5" * 32


def nobody(what: str) -> SecretText:
    raise AssertionError(f"nobody can be asked for the {what}")


class TestOnSoftHSM(KeyStoreConformance):
    """Every opening starts a process of its own, and logs in."""

    @pytest.fixture
    def open_store(self, softhsm, opened) -> abc.Callable[[], KeyStore]:
        return lambda: opened(softhsm.url())


class OneProcess(KeyStoreConformance):
    """One process for all openings, so that hundreds of entries can be changed in little time."""

    @pytest.fixture
    def url(self, softhsm) -> str:
        return softhsm.url()

    @pytest.fixture
    def process(self, url: str) -> abc.Iterator[TokenProcess]:
        uri = TokenURI.parse(url)
        process = TokenProcess(uri, SYSTEM_ID, PIN(uri, sourced(Location.parse(url), nobody)))
        yield process
        process.close()

    @pytest.fixture
    def stored(self, process: TokenProcess):
        return Tampered(process)

    @pytest.fixture
    def open_store(self, process: TokenProcess):
        return lambda: open_key_store("pkcs11:token=prod", process, SYSTEM_ID)

    def test_what_was_changed_is_called_broken_and_not_unavailable(self, open_store, stored) -> None:
        """Whatever the token answers to it: a person who is sent to look after a healthy HSM finds nothing."""
        store = open_store()
        store.seal(secret(1))
        ((name, whole),) = stored.items()
        begin = whole.index(b"\n") + 1
        for position in (*range(begin, begin + 30), len(whole) - 40, len(whole) - 1):
            stored[name] = whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
            with pytest.raises(SealBroken):
                store.unseal(1)


class Tampered(TokenShelf):
    """As somebody would who may write to the token, but not use its KEK."""

    def __setitem__(self, name: str, content: bytes) -> None:
        self.pop(name, None)
        super().__setitem__(name, content)


class TestSealedWithAESGCM(OneProcess):
    def test_it_is_the_one_in_use(self, open_store, stored) -> None:
        assert mechanism_in_use(open_store, stored) == (1, "AES-GCM")


class TestSealedWithAESKeyWrapPad(OneProcess):
    @pytest.fixture
    def url(self, shim, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("PKCS11_SHIM_HIDE_MECHANISMS", "0x1087")
        return shim.softhsm.url()

    def test_it_is_the_one_in_use(self, open_store, stored) -> None:
        assert mechanism_in_use(open_store, stored) == (2, "AES-KEY-WRAP-PAD")


class TestSealedWithAESCBCPadAndHMAC(OneProcess):
    @pytest.fixture
    def url(self, shim, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("PKCS11_SHIM_HIDE_MECHANISMS", "0x1087,0x210a")
        return shim.softhsm.url()

    def test_it_is_the_one_in_use(self, open_store, stored) -> None:
        assert mechanism_in_use(open_store, stored) == (3, "AES-CBC-PAD-HMAC-SHA256")


def mechanism_in_use(open_store, stored) -> tuple[int, str]:
    store = open_store()
    store.seal(secret(1))
    (entry,) = stored.values()
    return entry.partition(b"\n")[2][0], store.info().root.partition("(")[2].partition(")")[0]
