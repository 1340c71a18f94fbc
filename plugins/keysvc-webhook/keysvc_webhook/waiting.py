"""The header `Retry-After` (RFC 9110, 10.2.3): how long a receiver asks to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_to_wait(retry_after: str | None, date: str | None) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or as a date; None when there is none that can be
    read. A date is compared with the receiver's own clock, its header `Date`, if it sends one."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    then, now = _moment(text), _moment(date or "") or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds()) if then is not None else None


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
