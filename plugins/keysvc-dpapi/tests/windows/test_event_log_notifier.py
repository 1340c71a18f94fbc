"""Events reach the Windows event log, one entry each. Wine takes entries and keeps none: there, what Windows is given
is looked at; on Windows, what its own tool reads back."""

from __future__ import annotations

import ctypes
import re
import subprocess
import uuid

import pytest
from keysvc_dpapi import event_log, win32
from keysvc_dpapi.event_log import EventLogNotifier

from keysvc.plugin import ConfigurationError, NotifierRefused, NotifierUnavailable
from keysvc.plugin.loading import Plugins
from keysvc.testing import NotifierConformance
from keysvc.testing.notifier import event

WINE = hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


@pytest.fixture
def source():
    """A source of its own for each test."""
    name = f"keysvc-test-{uuid.uuid4().hex}"
    event_log.register_source(name)
    yield name
    event_log.forget_source(name)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch):
    """What the real ReportEvent was given: type and text."""
    calls: list[tuple[int, str]] = []
    real = win32.ReportEvent
    monkeypatch.setattr(win32, "ReportEvent", lambda *all_: calls.append((all_[1], all_[7][0])) or real(*all_))
    return calls


class TestTheEventLog(NotifierConformance):
    @pytest.fixture
    def open_notifier(self, source: str):
        return lambda: EventLogNotifier(source)

    @pytest.fixture
    def received(self, source: str, given):
        return (lambda: [text for _, text in given]) if WINE else (lambda: read_back(source))


def read_back(source: str) -> list[str]:
    query = f"/q:*[System[Provider[@Name='{source}']]]"
    command = ["wevtutil", "qe", "Application", query, "/f:xml", "/rd:false"]
    found = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True).stdout
    return re.findall(r"<Data>(.*?)</Data>", found, re.DOTALL)


def test_an_entry_is_the_kind_and_then_json_that_no_viewer_expands(given) -> None:
    EventLogNotifier().deliver(event(1, subject="100%%1 sure\r\n\0"))
    ((kind, text),) = given
    assert kind == win32.EVENTLOG_INFORMATION_TYPE
    assert text == (
        'backup.made\r\n\r\n{"event_id": "event-1", "at": "2026-01-02T00:00:00+00:00", '
        '"detail": {"subject": "100\\u0025\\u00251 sure\\r\\n\\u0000"}}'
    )


@pytest.mark.parametrize("kind", sorted(event_log.GRAVE))
def test_what_somebody_should_look_at_is_a_warning(given, kind: str) -> None:
    import dataclasses

    EventLogNotifier().deliver(dataclasses.replace(event(1), kind=kind))
    assert given[0][0] == win32.EVENTLOG_WARNING_TYPE


def test_an_event_that_is_too_long_for_the_log_is_refused_whole(given) -> None:
    with pytest.raises(NotifierRefused):
        EventLogNotifier().deliver(event(1, subject="x" * event_log.MAXIMUM_CHARACTERS))
    assert given == []


@pytest.mark.parametrize(
    ("error", "expected"), [(1783, NotifierRefused), (1502, NotifierUnavailable), (6, NotifierUnavailable)]
)
def test_what_windows_refuses_is_told_apart_from_what_it_cannot_do_now(
    monkeypatch: pytest.MonkeyPatch, error: int, expected: type[Exception]
) -> None:
    monkeypatch.setattr(win32, "ReportEvent", lambda *_: bool(ctypes.set_last_error(error)) and False)
    with pytest.raises(expected, match=str(error)):
        EventLogNotifier().deliver(event(1))


def test_the_url_is_eventlog_and_nothing_more() -> None:
    notifiers = Plugins().notifiers
    notifiers.open("eventlog:", lambda _what: None, "5" * 32).close()
    with pytest.raises(ConfigurationError):
        notifiers.open("eventlog:System", lambda _what: None, "5" * 32)
