"""The key store conformance suite on a token of your own: hsm/README.md says how."""

from __future__ import annotations

import os
from collections import abc
from contextlib import suppress
from urllib.parse import quote

import pytest

from keysvc.errors import KeysvcError
from keysvc.model import SecretText
from keysvc.plugin.interfaces import KeyStore
from keysvc.plugin.loading import Plugins
from keysvc.testing import KeyStoreConformance

VARIABLES = ("KEYSVC_TEST_PKCS11_MODULE", "KEYSVC_TEST_PKCS11_TOKEN", "KEYSVC_TEST_PKCS11_PIN_FILE")
SYSTEM_ID = "7" * 32
KEK = "keysvc-conformance"

pytestmark = pytest.mark.skipif(
    not all(os.environ.get(name) for name in VARIABLES),
    reason=f"no token to run on: set {', '.join(VARIABLES)}, as hsm/softhsm/up.sh prints them",
)


def nobody(what: str) -> SecretText:
    raise AssertionError(f"nobody can be asked for the {what}")


@pytest.fixture
def url() -> str:
    module, token, pin_file = (quote(os.environ[name]) for name in VARIABLES)
    return f"pkcs11:token={token};object={KEK}?module-path={module}&pin-source=file:{pin_file}"


class TestOnTheTokenInTheEnvironment(KeyStoreConformance):
    @pytest.fixture
    def open_store(self, url: str) -> abc.Iterator[abc.Callable[[], KeyStore]]:
        pytest.importorskip("keysvc_pkcs11", reason="install keysvc-pkcs11: pip install keysvc-pkcs11")
        plugins = Plugins()
        opened: list[KeyStore] = []

        def open_again() -> KeyStore:
            opened.append(plugins.key_stores.open(url, nobody, SYSTEM_ID))
            return opened[-1]

        yield open_again
        for store in opened:
            with suppress(KeysvcError):
                for version in store.versions():
                    store.destroy(version)
            store.close()
