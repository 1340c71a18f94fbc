"""The mapping store keeps every promise of a mapping store."""

from __future__ import annotations

import pytest
from keysvc.plugin import ConfigurationError
from keysvc.plugin.loading import Plugins
from keysvc.testing import MappingStoreConformance

from keysvc_example import keysvc_mapping_stores

SYSTEM_ID = "5" * 32


@pytest.fixture
def open_url():
    """Opens a URL as keysvc does, whether this project is installed or not."""
    plugins = Plugins(only=())
    keysvc_mapping_stores(plugins.mapping_stores.of_plugin("example", "keysvc-example"))
    return lambda url: plugins.mapping_stores.open(url, pytest.fail, SYSTEM_ID)


class TestExampleMappingStore(MappingStoreConformance):
    @pytest.fixture
    def open_store(self, tmp_path, open_url):
        return lambda: open_url(f"example://{tmp_path}/mappings.db")


def test_a_path_that_is_not_absolute_is_refused(open_url):
    with pytest.raises(ConfigurationError):
        open_url("example:mappings.db")
