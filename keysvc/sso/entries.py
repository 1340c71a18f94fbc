"""Audit entries about one user of one application."""

from __future__ import annotations

from types import MappingProxyType

from keysvc.model import DONE, AuditEntry, AuditTrail, Detail, utc_now

LONGEST_NAME = 256
NO_DETAIL: Detail = MappingProxyType({})


def subject_of(application: str, user: str) -> str:
    """For people: both may hold a colon, and `detail_of` is what tells them apart."""
    return f"{application}: {user}"[:1000].rstrip()


def detail_of(application: str, user: str) -> Detail:
    """For programs: each by its name. What is longer than a name can be is cut."""
    return {"application": application[:LONGEST_NAME], "user": user[:LONGEST_NAME]}


def of_user(
    actor: str,
    action: str,
    application: str,
    user: str,
    detail: Detail = NO_DETAIL,
    *,
    result: str = DONE,
    trail: AuditTrail = AuditTrail.CHANGES,
) -> AuditEntry:
    """Return the entry."""
    whole = {**detail_of(application, user), **detail}
    return AuditEntry(utc_now(), actor, action, subject_of(application, user), whole, result=result, trail=trail)
