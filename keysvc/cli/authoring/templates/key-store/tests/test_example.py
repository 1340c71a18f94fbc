"""The key store keeps every promise of a key store."""

from __future__ import annotations

import base64

import pytest
from keysvc.plugin import ConfigurationError, Directory
from keysvc.plugin.loading import Plugins
from keysvc.testing import KeyStoreConformance

from keysvc_example import keysvc_key_stores

KEY = base64.b64encode(bytes(range(32))).decode()
SYSTEM_ID = "5" * 32


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("EXAMPLE_KEY", KEY)


@pytest.fixture
def open_url():
    """Opens a URL as keysvc does, whether this project is installed or not."""
    plugins = Plugins(only=())
    keysvc_key_stores(plugins.key_stores.of_plugin("example", "keysvc-example"))
    return lambda url: plugins.key_stores.open(url, pytest.fail, SYSTEM_ID)


class TestExampleKeyStore(KeyStoreConformance):
    @pytest.fixture
    def stored(self, tmp_path):
        return Directory(tmp_path / "secret")

    @pytest.fixture
    def open_store(self, tmp_path, open_url):
        return lambda: open_url(f"example://{tmp_path}/secret?key-source=env:EXAMPLE_KEY")


def test_a_key_that_is_none_is_refused_and_not_shown(open_url, tmp_path, monkeypatch):
    monkeypatch.setenv("EXAMPLE_KEY", "geheim")
    with pytest.raises(ConfigurationError) as refused:
        open_url(f"example://{tmp_path}/secret?key-source=env:EXAMPLE_KEY")
    assert "geheim" not in str(refused.value)
