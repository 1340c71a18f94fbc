"""What SIGHUP takes over, and what it leaves."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from systems import System, eventually

from keysvc.errors import ConfigurationError, NotifierUnavailable
from keysvc.installation import config as configuration
from keysvc.installation.config import Config, NotifierSettings
from keysvc.installation.notifiers import Notifiers
from keysvc.model import Event
from keysvc.operating.reloading import Reloading

LINES = 'system_id = "00000000000000000000000000000000"\nmapping_store = "sqlite:///x"\nmaster = "https://m:1"\n'


def written(path: Path, more: str = "") -> Config:
    path.write_text(more + LINES, "utf-8")
    path.chmod(0o600)
    return configuration.load(path)


def test_level_and_notifiers_are_taken_over_and_the_rest_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, taken = tmp_path / "keysvc.toml", []
    reloading = Reloading(written(path), taken.append)
    written(path, 'log.level = "debug"\nnotifiers = []\npoll_interval = "1s"\n')
    reloading.reload()
    assert logging.getLogger("keysvc").level == logging.DEBUG
    assert taken[0].notifiers == ()
    assert "settings=('poll_interval',)" in caplog.text


@pytest.mark.parametrize("text", ["nonsense", 'log.level = "loud"\n', "unknown = 1\n"])
def test_a_configuration_that_cannot_be_used_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path, taken = tmp_path / "keysvc.toml", []
    reloading = Reloading(written(path), taken.append)
    path.write_text(text + LINES, "utf-8")
    reloading.reload()
    assert taken == []
    assert "the configuration was not reloaded" in caplog.text


def test_what_cannot_be_taken_over_is_logged_and_the_level_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_config: Config) -> None:
        raise ConfigurationError("holds no usable certificate and key")

    path = tmp_path / "keysvc.toml"
    reloading = Reloading(written(path), refuse)
    written(path, 'log.level = "error"\n')
    level = logging.getLogger("keysvc").level
    reloading.reload()
    assert logging.getLogger("keysvc").level == level
    assert "holds no usable certificate" in caplog.text


class Noting:
    """A notifier that remembers."""

    def __init__(self, url: str) -> None:
        self.url, self.heard, self.is_closed = url, [], False

    def deliver(self, event: Event) -> None:
        if self.is_closed:
            raise NotifierUnavailable("closed")
        self.heard.append(event.kind)

    def close(self) -> None:
        self.is_closed = True


def test_a_notifier_that_stays_is_opened_once_and_one_that_goes_is_closed(system: System) -> None:
    opened: list[Noting] = []

    def open_notifier(url: str) -> Noting:
        opened.append(Noting(url))
        return opened[-1]

    one, two = NotifierSettings(url="one:"), NotifierSettings(url="two:")
    notifiers = Notifiers(open_notifier)
    notifiers.name([one])
    master = system.start(subscriptions=notifiers.subscriptions)
    gone = notifiers.name([one, two])
    master.subscribe(notifiers.subscriptions)
    master.rotate("administrator")
    eventually(lambda: all("rotation.started" in each.heard for each in opened))
    assert ([each.url for each in opened], gone) == (["one:", "two:"], ())
    (gone,) = notifiers.name([two])
    master.subscribe(notifiers.subscriptions)
    assert gone.notifier is opened[0]
    assert master.condition().notifiers.keys() == {"two:"}
    notifiers.close()
    assert [each.is_closed for each in opened] == [False, True]
