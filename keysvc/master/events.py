"""What the master secret server tells people of, and what it writes into the audit: both in the commit they tell of."""

from __future__ import annotations

import uuid

from keysvc.changes import AppendAudit, AppendEvent, Change
from keysvc.model import AuditEntry, Event, utc_now


def event(kind: str, **detail: str | int | bool) -> AppendEvent:
    """A change that puts an event into the outbox."""
    return AppendEvent(Event(uuid.uuid4().hex, kind, utc_now(), detail))


def audit(actor: str, action: str, subject: str, **detail: str | int | bool) -> AppendAudit:
    """A change that adds an audit entry."""
    return AppendAudit(AuditEntry(utc_now(), actor, action, subject, detail))


def told(actor: str, kind: str, subject: str, **detail: str | int | bool) -> tuple[Change, Change]:
    """The audit entry and the event of one happening."""
    return audit(actor, kind, subject, **detail), event(kind, subject=subject, **detail)
