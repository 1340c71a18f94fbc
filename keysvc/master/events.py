"""What the master secret server tells people of, and what it writes into the audit: both in the commit they tell of."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Self

from keysvc.model import AuditEntry, AuditTrail, Event, Severity, utc_now
from keysvc.plugin.changes import AppendAudit, AppendEvent, Change

STORE_RIGHTS = "the store's own rights"
"""The actor of what no certificate is needed for: whoever has the login to the mapping store may do it."""


class EventKind(StrEnum):
    """Every event, how much it matters and what it says. The names are stable: receivers filter by them.
    docs/reference/events.md is this list."""

    severity: Severity
    meaning: str
    members: tuple[str, ...]

    def __new__(cls, name: str, severity: Severity, meaning: str, *members: str) -> Self:
        """A member is its name. `members` are those of the event's detail: `subject` alone unless named."""
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.severity, kind.meaning, kind.members = severity, meaning, members or ("subject",)
        return kind

    SYSTEM_CONFIGURED = "system.configured", Severity.NOTICE, "`keysvc init` made a system"
    SYSTEM_ENABLED = "system.enabled", Severity.NOTICE, "look-ups and changes go on again"
    SYSTEM_DISABLED = "system.disabled", Severity.WARNING, "every look-up and every change is refused"
    SYSTEM_NAMES_FOLDED = (
        "system.names-folded",
        Severity.NOTICE,
        "upper and lower case of a name are the same from now on",
    )
    SECRET_GENERATED = "secret.generated", Severity.NOTICE, "a version was generated, sealed and read back"
    SECRET_RESTORED = "secret.restored", Severity.NOTICE, "versions came back from a backup"
    SECRET_RECOVERED = "secret.recovered", Severity.NOTICE, "versions came back from a recovery key store"
    SECRET_RESEALED = "secret.resealed", Severity.NOTICE, "every version moved to another key store"
    SECRET_PROTECTED = "secret.protected", Severity.NOTICE, "every version was sealed into one more key store"
    VERSION_ACTIVATED = "version.activated", Severity.NOTICE, "a version encrypts from now on"
    VERSION_ABANDONED = "version.abandoned", Severity.WARNING, "a version was lost before anything was under it"
    VERSION_COMPROMISED = "version.compromised", Severity.WARNING, "somebody said that others know a version"
    VERSION_DESTROYED = (
        "version.destroyed",
        Severity.NOTICE,
        "a version is gone for good",
        *("subject", "forced"),
    )
    ROTATION_STARTED = "rotation.started", Severity.NOTICE, "a new version is announced"
    ROTATION_PROGRESS = (
        "rotation.progress",
        Severity.INFORMATIONAL,
        "so many credentials are re-encrypted",
        *("subject", "done", "total", "percent"),
    )
    ROTATION_FINISHED = (
        "rotation.finished",
        Severity.NOTICE,
        "every credential is under the active version",
        *("subject", "rows", "verified"),
    )
    ROTATION_FAILED = (
        "rotation.failed",
        Severity.ERROR,
        "credentials do not decrypt and stay under an old version",
        *("subject", "why"),
    )
    ROTATION_STALLED = (
        "rotation.stalled",
        Severity.WARNING,
        "a rotation has not moved for long; it says why",
        *("subject", "why"),
    )
    BACKUP_MADE = "backup.made", Severity.NOTICE, "a backup was written, read back and opened"
    BACKUP_OVERDUE = (
        "backup.overdue",
        Severity.WARNING,
        "no backup holds the active version",
        *("why",),
    )
    LEASE_TAKEN = (
        "master.lease-taken",
        Severity.NOTICE,
        "a process became the master secret server",
        *("subject", "url"),
    )
    LEASE_LOST = (
        "master.lease-lost",
        Severity.WARNING,
        "a process is no longer the master secret server",
        *("subject", "successor"),
    )
    STANDBY_NOT_READY = (
        "standby.not-ready",
        Severity.WARNING,
        "a standby lacks a version and could not take over",
        *("subject", "problem"),
    )
    KEY_STORE_AWAY = (
        "key-store.unavailable",
        Severity.ERROR,
        "the key store does not answer",
        *("subject", "problem"),
    )
    KEY_STORE_BACK = "key-store.back", Severity.NOTICE, "the key store answers again"
    MAPPING_STORE_AWAY = (
        "mapping-store.unavailable",
        Severity.ERROR,
        "the mapping store did not answer; told once it is back",
        *("subject", "problem"),
    )
    MAPPING_STORE_BACK = (
        "mapping-store.back",
        Severity.NOTICE,
        "the mapping store answers again",
        *("subject", "seconds"),
    )
    SERVER_STALE = (
        "server.stale",
        Severity.WARNING,
        "an SSO server fell silent without saying goodbye",
        *("subject", "last_seen"),
    )
    IDENTITY_ENROLLED = (
        "identity.enrolled",
        Severity.NOTICE,
        "a certificate was issued",
        *("subject", "role"),
    )
    IDENTITY_REVOKED = "identity.revoked", Severity.NOTICE, "a certificate is let in no more"
    IDENTITY_READMITTED = (
        "identity.readmitted",
        Severity.WARNING,
        "a join token was made for one who could not get in, by the store's own rights",
        *("subject", "role"),
    )
    CERTIFICATE_ENDING = (
        "certificate.ending",
        Severity.WARNING,
        "a certificate is near its end and was not renewed",
        *("subject", "role", "expires_at"),
    )
    CERTIFICATE_CONTESTED = (
        "certificate.contested",
        Severity.WARNING,
        "a certificate asked for renewal after its successor was used: somebody may have copied its key",
        *("subject", "role"),
    )
    AUTHORITY_ENDING = (
        "authority.ending",
        Severity.WARNING,
        "the certificate authority is in its last year; every certificate ends with it",
        *("subject", "expires_at"),
    )
    AUTHORITY_REPLACED = (
        "authority.replaced",
        Severity.WARNING,
        "the certificate authority was lost and made anew, by the store's own rights; everybody enrols again",
        *("subject", "revoked"),
    )
    AUDIT_CHAIN_BROKEN = (
        "audit.chain-broken",
        Severity.ERROR,
        "the audit trail was changed, or misses entries",
        *("subject", "problem"),
    )
    PLUGIN_FAILED = (
        "plugin.failed",
        Severity.ERROR,
        "a plugin raised what it may not raise; it says where",
        *("subject", "plugin", "distribution", "where", "problem", "hint"),
    )
    NOTIFIER_TEST = "notifier.test", Severity.NOTICE, "somebody tries whether a notifier works"


def event(kind: EventKind, **detail: str | int | bool) -> AppendEvent:
    """A change that puts an event into the outbox."""
    return AppendEvent(Event(uuid.uuid4().hex, kind.value, utc_now(), detail, kind.severity))


def audit(actor: str, action: str, subject: str, **detail: str | int | bool) -> AppendAudit:
    """A change that adds an audit entry."""
    return AppendAudit(AuditEntry(utc_now(), actor, action, subject, detail))


def audit_of_member(actor: str, action: str, subject: str, **detail: str | int | bool) -> AppendAudit:
    """As `audit`, of what a member does for itself: kept apart from what administrators did."""
    return AppendAudit(AuditEntry(utc_now(), actor, action, subject, detail, trail=AuditTrail.MEMBERS))


def told(actor: str, kind: EventKind, subject: str, **detail: str | int | bool) -> tuple[Change, Change]:
    """The audit entry and the event of one happening."""
    return audit(actor, kind.value, subject, **detail), event(kind, subject=subject, **detail)
