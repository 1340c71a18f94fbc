"""The embedded key store keeps every promise of a key store, under either root; and the embedded notifier its own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from keysvc.master.log_notifier import LogNotifier
from keysvc.model import SecretBytes, SecretText
from keysvc.plugin.sealed import Directory, SealedKeyStore
from keysvc.stores import slip39
from keysvc.stores.file_sealers import KeyFileSealer, PassphraseSealer
from keysvc.stores.shares import SharesKeyStore
from keysvc.stores.shares_sealer import SharesSealer, decoded, public_key_of
from keysvc.testing import KeyStoreConformance, NotifierConformance


class TestUnderAKeyFile(KeyStoreConformance):
    @pytest.fixture
    def stored(self, tmp_path: Path):
        return Directory(tmp_path / "secret")

    @pytest.fixture
    def open_store(self, tmp_path: Path, stored: Directory):
        key_file = tmp_path / "secret.key"
        return lambda: SealedKeyStore(
            KeyFileSealer("file:///x", key_file, may_create=lambda: len(stored) == 0), stored, "5" * 32
        )


class TestUnderAPassphrase(KeyStoreConformance):
    @pytest.fixture
    def stored(self, tmp_path: Path):
        return Directory(tmp_path / "secret")

    @pytest.fixture
    def open_store(self, stored: Directory):
        cheap = {"iterations": 1, "memory_kib": 8, "lanes": 1}
        return lambda: SealedKeyStore(
            PassphraseSealer("file:///x", lambda _what: SecretText("four random words"), lambda: not stored, **cheap),
            stored,
            "5" * 32,
        )


class TestUnderShares(KeyStoreConformance):
    @pytest.fixture
    def stored(self, tmp_path: Path):
        return Directory(tmp_path / "secret")

    @pytest.fixture
    def open_store(self, stored: Directory):
        root = SecretBytes(bytes(range(32)))
        shares = SecretText("\n".join(share.reveal() for share in slip39.split(root, 2, 3)[:2]))
        public = decoded(public_key_of(root))
        return lambda: SharesKeyStore(SharesSealer("shares:///x", public, lambda _what: shares), stored, "5" * 32)


class TestTheLog(NotifierConformance):
    @pytest.fixture
    def open_notifier(self):
        return LogNotifier

    @pytest.fixture
    def received(self, caplog):
        caplog.set_level(logging.INFO, "keysvc.events")
        return lambda: caplog.messages
