"""One way to walk a mapping store: page by page, so that nobody holds all rows at once.

What is written meanwhile neither repeats a row nor leaves one out: each page begins after the last row of the one
before.
"""

from __future__ import annotations

import itertools
from collections import abc
from typing import TypeVar

from keysvc.model import AuditEntry, AuditTrail, CredentialKey, EncryptedCredential, Mapping, UsedTicket
from keysvc.plugin.interfaces import MappingStore

PAGE = 2000
"""Rows in one page."""

Row = TypeVar("Row")
Place = TypeVar("Place")


def rows(
    read: abc.Callable[[Place], abc.Sequence[Row]], place: abc.Callable[[Row], Place], after: Place
) -> abc.Iterator[Row]:
    """Yield the rows that `read` returns for `after`, then for the `place` of its last row, until it returns none."""
    while page := read(after):
        yield from page
        after = place(page[-1])


def batches(items: abc.Iterable[Row], size: int = PAGE) -> abc.Iterator[list[Row]]:
    """Yield lists of `size` items; the last may be shorter."""
    rest = iter(items)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def mappings(store: MappingStore, application: str) -> abc.Iterator[Mapping]:
    """Yield all mappings of an application, by user."""
    return rows(lambda after: store.mappings(application, after=after, limit=PAGE), lambda row: row.user, "")


def credentials(store: MappingStore) -> abc.Iterator[EncryptedCredential]:
    """Yield all credentials, by application and user."""
    first: CredentialKey | None = None
    return rows(lambda after: store.credentials(after=after, limit=PAGE), lambda row: row.key, first)


def audit_entries(store: MappingStore, trail: AuditTrail, after: int = 0) -> abc.Iterator[AuditEntry]:
    """Yield the entries of a trail after the sequence number `after`."""
    return rows(lambda last: store.audit(trail, after=last, limit=PAGE), lambda entry: entry.sequence, after)


def used_tickets(store: MappingStore) -> abc.Iterator[UsedTicket]:
    """Yield the tickets that were redeemed and have not expired."""
    return rows(lambda after: store.used_tickets(after=after, limit=PAGE), lambda ticket: ticket.ticket_id, "")
