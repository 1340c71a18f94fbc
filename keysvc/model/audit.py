"""Audit entries, their trails, and where somebody acts from."""

from __future__ import annotations

import platform
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from keysvc.model.events import Detail


class AuditTrail(StrEnum):
    """The audit has several trails, each numbered, chained and bounded by itself: a flood in one loses nothing of
    another."""

    CHANGES = "changes"
    DELETED_APPLICATIONS = "deleted-applications"
    DELETED_MAPPINGS = "deleted-mappings"
    LOOKUPS = "lookups"
    MEMBERS = "members"
    """What servers, applications and users did for themselves, and to credentials."""


LOOKED_UP = "credential.looked-up"
DENIED = "operation.denied"
_TRAILS = {
    "application.deleted": AuditTrail.DELETED_APPLICATIONS,
    "mapping.deleted": AuditTrail.DELETED_MAPPINGS,
    "mapping.import-deleted": AuditTrail.DELETED_MAPPINGS,
    LOOKED_UP: AuditTrail.LOOKUPS,
    DENIED: AuditTrail.LOOKUPS,
}
DONE = "done"

_acting_from: ContextVar[str] = ContextVar("acting_from")


def origin() -> str:
    """Where the one for whom this thread or task works is: the address of a request, else this machine's name."""
    return _acting_from.get("") or platform.node()


def acting_from(address: str) -> None:
    """From now on, in this thread or task, `origin` is this address."""
    _acting_from.set(address)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what, from where, and what came of it: `result` is `done` or the code of an error.

    `sequence`, from 1 without a gap within its trail in the order of the commits, and `link`, 32 bytes, are given by
    the mapping store.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    detail: Detail = field(default_factory=dict)
    origin: str = field(default_factory=origin)
    result: str = DONE
    sequence: int = 0
    link: bytes = field(default=b"", repr=False, compare=False)
    trail: AuditTrail = AuditTrail.CHANGES

    def __post_init__(self) -> None:
        """Some actions have a trail of their own, unless whoever records them names another."""
        if self.trail is AuditTrail.CHANGES and self.action in _TRAILS:
            object.__setattr__(self, "trail", _TRAILS[self.action])
