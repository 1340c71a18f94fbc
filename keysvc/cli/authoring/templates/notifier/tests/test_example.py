"""The notifier keeps every promise of a notifier."""

from __future__ import annotations

import pytest
from keysvc.plugin import NotifierUnavailable
from keysvc.plugin.loading import Plugins
from keysvc.testing import NotifierConformance
from keysvc.testing.notifier import event

from keysvc_example import keysvc_notifiers

SYSTEM_ID = "5" * 32


@pytest.fixture
def open_url():
    """Opens a URL as keysvc does, whether this project is installed or not."""
    plugins = Plugins(only=())
    keysvc_notifiers(plugins.notifiers.of_plugin("example", "keysvc-example"))
    return lambda url: plugins.notifiers.open(url, pytest.fail, SYSTEM_ID)


class TestExampleNotifier(NotifierConformance):
    @pytest.fixture
    def open_notifier(self, tmp_path, open_url):
        return lambda: open_url(f"example://{tmp_path}/events.jsonl")

    @pytest.fixture
    def received(self, tmp_path):
        return lambda: (tmp_path / "events.jsonl").read_text("utf-8").splitlines()


def test_a_file_that_cannot_be_written_is_unavailable(open_url, tmp_path):
    with pytest.raises(NotifierUnavailable):
        open_url(f"example://{tmp_path}/nowhere/events.jsonl").deliver(event(1))
