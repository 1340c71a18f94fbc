"""The authorizer keeps every promise of an authorizer."""

from __future__ import annotations

import pytest
from keysvc.plugin import ConfigurationError
from keysvc.plugin.loading import Plugins
from keysvc.testing import AuthorizerConformance

from keysvc_example import keysvc_authorizers

SYSTEM_ID = "5" * 32


@pytest.fixture
def open_url():
    """Opens a URL as keysvc does, whether this project is installed or not."""
    plugins = Plugins(only=())
    keysvc_authorizers(plugins.authorizers.of_plugin("example", "keysvc-example"))
    return lambda url: plugins.authorizers.open(url, pytest.fail, SYSTEM_ID)


class TestExampleAuthorizer(AuthorizerConformance):
    @pytest.fixture
    def open_authorizer(self, tmp_path, open_url):
        (tmp_path / "groups").write_text("accounting: bert\nSAP users: anna, accounting\nsolo: bert\n", "utf-8")
        return lambda: open_url(f"example://{tmp_path}/groups")

    @pytest.fixture
    def members(self):
        return {"anna": ["SAP users"], "bert": ["SAP users", "accounting", "solo"]}

    @pytest.fixture
    def open_blind(self, tmp_path, open_url):
        return lambda: open_url(f"example://{tmp_path}/nowhere")


def test_a_relative_path_is_refused(open_url):
    with pytest.raises(ConfigurationError, match="absolute"):
        open_url("example:groups")
