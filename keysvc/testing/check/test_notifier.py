"""What can be checked of a notifier from here. Whether it arrived, only the receiver knows: it says so itself."""

from __future__ import annotations

import secrets
from collections import abc

import pytest

from keysvc.model import Event, utc_now
from keysvc.plugin.interfaces import Notifier

Open = abc.Callable[[], Notifier]


def event(**detail: str | int | bool) -> Event:
    """It says what it is."""
    what = "a test by `keysvc plugin check`: there is nothing to do"
    return Event(secrets.token_hex(16), "notifier.test", utc_now(), {"subject": what, **detail})


class TestNotifier:
    @pytest.fixture
    def open_notifier(self, open_part: Open) -> Open:
        return open_part

    def test_an_event_is_accepted(self, open_notifier: Open) -> None:
        open_notifier().deliver(event())

    def test_an_event_that_comes_again_is_accepted_again(self, open_notifier: Open) -> None:
        repeated = event()
        open_notifier().deliver(repeated)
        open_notifier().deliver(repeated)

    def test_any_text_in_the_detail_is_accepted(self, open_notifier: Open) -> None:
        open_notifier().deliver(event(text='"quotes"\r\nX-Injected: 1\r\n\r\n\u2028 ünïcödé 🔑', rows=3, forced=True))

    def test_closing_is_repeatable(self, open_notifier: Open) -> None:
        notifier = open_notifier()
        notifier.close()
        notifier.close()
