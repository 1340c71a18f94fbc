"""Events, which notifiers report to people and systems."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

Detail = abc.Mapping[str, str | int | bool]


class Severity(StrEnum):
    """How much an event matters, in RFC 5424's words, rising."""

    INFORMATIONAL = "informational"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"

    def reaches(self, minimum: Severity) -> bool:
        """Whether it matters at least as much as `minimum`."""
        rising = list(Severity)
        return rising.index(self) >= rising.index(minimum)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that notifiers tell people and systems of. `event_id` is the idempotency key of its delivery; `kind` is
    one of docs/reference/events.md, such as `rotation.finished`."""

    event_id: str
    kind: str
    at: datetime
    detail: Detail
    severity: Severity = Severity.NOTICE


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that a notifier refused, or did not accept for long: it is kept, and offered again when asked for."""

    event: Event
    notifier: str
    reason: str
    parked_at: datetime
