"""The system: its settings, its lease, and the condition of a write."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from keysvc.model import names
from keysvc.model.versions import VersionId


class NameRule(StrEnum):
    """Which names are one: those of one key, folded or not (`keysvc.model.names.key`)."""

    FOLDED = "folded"
    EXACT = "exact"

    def key(self, name: str) -> str:
        """Return what `name` is compared by."""
        return names.key(name, folded=self is NameRule.FOLDED)


@dataclass(frozen=True, slots=True)
class Settings:
    """System-wide settings, as Enterprise SSO's global info has them, the levels of the audit (0 to 3), whether the
    system is `enabled`: look-ups and changes are refused otherwise; and which `names` are one. Time-outs in minutes,
    audit sizes in rows; 0 rows is no bound."""

    administrators: str = ""
    affiliate_administrators: str = ""
    secret_server: str = ""
    ticket_timeout_minutes: int = 2
    credential_cache_minutes: int = 60
    audit_deleted_applications: int = 1000
    audit_deleted_mappings: int = 1000
    audit_credential_lookups: int = 1000
    audit_changes: int = 100_000
    audit_members: int = 100_000
    audit_positive_level: int = 0
    audit_negative_level: int = 1
    enabled: bool = True
    names: NameRule = NameRule.EXACT


@dataclass(frozen=True, slots=True)
class SystemRecord:
    """One keysvc system. `system_id` is 32 hex digits and binds every ciphertext, seal and certificate to it."""

    system_id: str
    created_at: datetime
    settings: Settings = Settings()


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be the one master secret server until `expires_at` of the mapping store's clock.

    `epoch` rises at every grant: it is the fencing token (Gray & Cheriton 1989; Kleppmann 2016). `url` is where its
    holder answers polls; empty for a command that holds it for a moment.
    """

    holder: str
    epoch: int
    expires_at: datetime
    url: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """What must still be true in the transaction that writes; None leaves it unchecked. The active version is compared
    by number and key check value."""

    epoch: int | None = None
    active_version: VersionId | None = None


@dataclass(frozen=True, slots=True)
class BackupRecord:
    """The newest backup that was written, read back and opened."""

    created_at: datetime
    versions: tuple[int, ...]


def utc_now() -> datetime:
    """This machine's clock. Leases use the mapping store's, permissions a monotonic one."""
    return datetime.now(UTC)


@functools.lru_cache(maxsize=64)
def accounts_in(text: str) -> tuple[str, ...]:
    """The accounts of a setting: several are separated by semicolons."""
    return tuple(account.strip() for account in text.split(";") if account.strip())
