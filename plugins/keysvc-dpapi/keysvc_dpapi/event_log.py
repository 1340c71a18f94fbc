"""The Windows event log: where operators of Windows look. Windows only."""

from __future__ import annotations

import contextlib
import ctypes
import json
import winreg
from ctypes.wintypes import LPCWSTR
from typing import TYPE_CHECKING

from keysvc.plugin import AccessDenied, NotifierRefused, NotifierUnavailable
from keysvc_dpapi import win32

if TYPE_CHECKING:
    from keysvc.plugin import Event

SOURCE = "keysvc"
EVENT_ID = 1
MAXIMUM_CHARACTERS = 31_839  # of one string, says the reference of ReportEvent
REFUSED = frozenset({87, 122, 1734, 1783})  # INVALID_PARAMETER, INSUFFICIENT_BUFFER, RPC_S_INVALID_BOUND, BAD_STUB_DATA
GRAVE = frozenset({"version.destroyed", "secret.restored", "identity.revoked"})
_SOURCES = r"SYSTEM\CurrentControlSet\Services\EventLog\Application"
# Comes with Windows; its message for the identifiers 1 to 1000 is just the text that was given.
_MESSAGES = r"%SystemRoot%\System32\EventCreate.exe"


class EventLogNotifier:
    """An event is an entry of the Application log: its kind, then its identifier, time and detail as JSON."""

    def __init__(self, source: str = SOURCE) -> None:
        self._source = source

    def deliver(self, event: Event) -> None:
        """Raises NotifierUnavailable, and NotifierRefused for an entry that is too long."""
        facts = {"event_id": event.event_id, "at": event.at.isoformat(), "detail": dict(event.detail)}
        # The viewer replaces %% and a number by a text of its own, so that a percent sign is written as JSON can.
        text = f"{event.kind}\r\n\r\n{json.dumps(facts)}".replace("%", "\\u0025")
        if len(text) > MAXIMUM_CHARACTERS:
            raise NotifierRefused(f"the event log takes {MAXIMUM_CHARACTERS} characters; {event.event_id} has more")
        log = win32.RegisterEventSource(None, self._source)
        if not log:
            raise _unavailable()
        try:
            strings = (LPCWSTR * 1)(text)
            level = win32.EVENTLOG_WARNING_TYPE if event.kind in GRAVE else win32.EVENTLOG_INFORMATION_TYPE
            if not win32.ReportEvent(log, level, 0, EVENT_ID, None, len(strings), 0, strings, None):
                if ctypes.get_last_error() in REFUSED:
                    raise NotifierRefused(f"the event log refuses {event.event_id} (error {ctypes.get_last_error()})")
                raise _unavailable()
        finally:
            win32.DeregisterEventSource(log)

    def close(self) -> None:
        """Nothing is held."""


def register_source(source: str = SOURCE) -> None:
    """Let the event viewer show entries as they were written. Raises AccessDenied."""
    try:
        with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, f"{_SOURCES}\\{source}") as key:
            winreg.SetValueEx(key, "EventMessageFile", 0, winreg.REG_EXPAND_SZ, _MESSAGES)
            winreg.SetValueEx(key, "TypesSupported", 0, winreg.REG_DWORD, 7)
    except PermissionError:
        raise AccessDenied("the event source cannot be registered", hint="run it as administrator") from None


def forget_source(source: str = SOURCE) -> None:
    """Undo `register_source`. Repeatable."""
    with contextlib.suppress(OSError):
        winreg.DeleteKey(winreg.HKEY_LOCAL_MACHINE, f"{_SOURCES}\\{source}")


def _unavailable() -> NotifierUnavailable:
    return NotifierUnavailable(f"the event log does not answer (error {ctypes.get_last_error()})")
