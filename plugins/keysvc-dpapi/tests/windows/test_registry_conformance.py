"""The registry key store keeps every promise of a key store, in either scope."""

from __future__ import annotations

import pytest
from keysvc_dpapi.dpapi import DpapiSealer, Scope
from keysvc_dpapi.registry import RegistryKey, RegistryShelf

from keysvc.plugin import SealedKeyStore
from keysvc.testing import KeyStoreConformance


class TestInMachineScope(KeyStoreConformance):
    @pytest.fixture
    def stored(self, values):
        return values

    @pytest.fixture
    def open_store(self, key: RegistryKey):
        return lambda: SealedKeyStore(DpapiSealer("registry://x", Scope.MACHINE), RegistryShelf(key), "5" * 32)


class TestInUserScope(KeyStoreConformance):
    @pytest.fixture
    def stored(self, values):
        return values

    @pytest.fixture
    def open_store(self, key: RegistryKey):
        return lambda: SealedKeyStore(DpapiSealer("registry://x", Scope.USER), RegistryShelf(key), "5" * 32)
