"""What every notifier promises, as far as it can be seen from outside."""

from __future__ import annotations

from collections import abc
from datetime import UTC, datetime

import pytest

from keysvc.model import Event
from keysvc.plugin.interfaces import Notifier
from keysvc.testing.conformance import Conformance

OpenNotifier = abc.Callable[[], Notifier]
Received = abc.Callable[[], abc.Sequence[str]]


def event(number: int, **detail: str | int | bool) -> Event:
    """An event with an id of its own."""
    return Event(f"event-{number}", "backup.made", datetime(2026, 1, 2, tzinfo=UTC), detail)


class NotifierConformance(Conformance):
    """Override `open_notifier`, and `received`: a callable that returns what has arrived, as texts."""

    @pytest.fixture
    def open_notifier(self) -> OpenNotifier:
        raise NotImplementedError("override the fixture open_notifier: return a callable that opens the notifier")

    @pytest.fixture
    def received(self) -> Received:
        raise NotImplementedError("override the fixture received: return a callable that returns what has arrived")

    def test_what_was_accepted_has_arrived_with_its_id_and_kind(
        self, open_notifier: OpenNotifier, received: Received
    ) -> None:
        open_notifier().deliver(event(1))
        assert any("event-1" in text and "backup.made" in text for text in received())

    def test_events_arrive_in_order(self, open_notifier: OpenNotifier, received: Received) -> None:
        notifier = open_notifier()
        for number in range(10):
            notifier.deliver(event(number))
        found = "\n".join(received())
        assert sorted(range(10), key=lambda number: found.index(f"event-{number}")) == list(range(10))

    def test_any_text_in_the_detail_is_delivered_on_one_event(
        self, open_notifier: OpenNotifier, received: Received
    ) -> None:
        open_notifier().deliver(
            event(1, subject='"quotes"\r\nX-Injected: 1\r\n\r\n\u2028 ünïcödé 🔑', rows=3, forced=True)
        )
        assert len([text for text in received() if "event-1" in text]) == 1
        assert not any(text.startswith("X-Injected") for text in received())

    def test_closing_is_repeatable(self, open_notifier: OpenNotifier) -> None:
        notifier = open_notifier()
        notifier.close()
        notifier.close()
