"""Requests about the audit: read it, backwards or onwards."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from keysvc.model import AuditEntry, AuditTrail
from keysvc.sso.permissions import Right
from keysvc.sso.requests.request import MAXIMUM_PAGE, Limit, Request
from keysvc.sso.work import Work

MAXIMUM_LOOKED_AT = 10_000
"""How many entries one request looks at."""
Part = Annotated[str, Meta(max_length=256, description="a part of it, in any case; empty does not matter")]
Sequence = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries of one trail. `next` is the `before`, or the `after`, of the next page, None at the end. `newest` is the
    sequence of the trail's last entry."""

    entries: tuple[AuditEntry, ...]
    next: int | None
    newest: int


class ReadAudit(Request[AuditPage], frozen=True):
    """A page of a trail: newest first, below `before` if that is given; with `after`, oldest first beyond it. Only
    entries whose actor, action, subject and result have these parts."""

    trail: AuditTrail = AuditTrail.CHANGES
    before: Sequence | None = None
    after: Sequence | None = None
    limit: Limit = 100
    actor: Part = ""
    action: Part = ""
    subject: Part = ""
    result: Part = ""

    needs = (Right.SEE_AUDIT,)

    def act(self, work: Work) -> AuditPage:
        head = next((head for head in work.store.audit_heads() if head.trail == self.trail), None)
        if head is None:
            return AuditPage((), None, 0)
        if self.after is not None:
            entries = self._onwards(work, max(self.after, head.base_sequence))
            end = head.sequence
        else:
            above = head.sequence + 1 if self.before is None else min(self.before, head.sequence + 1)
            entries = self._backwards(work, above, head.base_sequence)
            end = head.base_sequence + 1
        found: list[AuditEntry] = []
        last = end
        for number, entry in enumerate(entries):
            if len(found) == self.limit or number == MAXIMUM_LOOKED_AT:
                return AuditPage(tuple(found), last, head.sequence)
            last = entry.sequence
            if self._fits(entry):
                found.append(entry)
        return AuditPage(tuple(found), None, head.sequence)

    def _onwards(self, work: Work, after: int) -> abc.Iterator[AuditEntry]:
        while page := work.store.audit(self.trail, after=after, limit=MAXIMUM_PAGE):
            yield from page
            after = page[-1].sequence

    def _backwards(self, work: Work, above: int, base: int) -> abc.Iterator[AuditEntry]:
        while above > base + 1:
            after = max(base, above - 1 - MAXIMUM_PAGE)
            page = work.store.audit(self.trail, after=after, limit=above - 1 - after)
            yield from (entry for entry in reversed(page) if entry.sequence < above)
            above = after + 1

    def _fits(self, entry: AuditEntry) -> bool:
        wanted = (
            (self.actor, entry.actor),
            (self.action, entry.action),
            (self.subject, entry.subject),
            (self.result, entry.result),
        )
        return all(part.casefold() in text.casefold() for part, text in wanted)
