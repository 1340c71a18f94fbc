"""The audit trails in the tables: entries are appended, sealed and pruned under the lock of their trail's head.

The head is the last lock that a commit takes, and trails are taken in the order of their names: no two commits wait for
each other.
"""

from __future__ import annotations

from collections import abc
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from keysvc.errors import Conflict, MappingStoreError
from keysvc.model import AuditEntry, AuditTrail
from keysvc.plugin import changes as change
from keysvc.plugin.audit_chain import AuditHead, AuditKeys, link
from keysvc.stores import schema
from keysvc.stores.sql_rows import read

OF_TRAILS = (change.AppendAudit, change.SealAudit, change.PruneAudit, change.AcceptAudit, change.PutAuditHead)


def entries(trail: AuditTrail, after: int) -> Select[Any]:
    """Of one trail, by sequence."""
    table = schema.audit
    return select(table).where(table.c.trail == trail, table.c.sequence > after).order_by(table.c.sequence)


def write(connection: Connection, changes: abc.Iterable[change.Change]) -> None:
    """What the changes of a commit do to the trails."""
    of_trail: dict[AuditTrail, list[change.Change]] = {}
    for each in changes:
        match each:
            case change.AppendAudit(entry=entry):
                of_trail.setdefault(entry.trail, []).append(each)
            case change.PutAuditHead(head=head):
                of_trail.setdefault(head.trail, []).append(each)
            case change.SealAudit() | change.PruneAudit() | change.AcceptAudit():
                of_trail.setdefault(each.trail, []).append(each)
    for trail in sorted(of_trail):
        _Writing(connection, trail).apply(of_trail[trail])


class _Writing:
    """One trail, in one commit."""

    def __init__(self, connection: Connection, trail: AuditTrail) -> None:
        self._connection = connection
        self._trail = trail
        table = schema.audit_heads
        active = select(schema.guard.c.active_version).scalar_subquery().label("active_version")
        found = connection.execute(
            select(table, active)
            .where(table.c.trail == trail)
            .with_for_update()
            .with_hint(table, "WITH (UPDLOCK, ROWLOCK)", dialect_name="mssql")
        ).all()
        if not found:
            raise MappingStoreError(f"the head of the audit trail {trail} was removed", hint="see docs/how-to/audit.md")
        self._head = read(AuditHead, table, found)[0]
        self._active_version: int = found[0].active_version or 0
        sealed = self._head.sealed_sequence, self._head.sealed_link
        self._was_sealed_to_its_end = sealed == (self._head.sequence, self._head.link)

    def apply(self, changes: abc.Sequence[change.Change]) -> None:
        before = self._head
        for each in changes:
            if isinstance(each, change.AcceptAudit):
                self._accept(each.keys)
        self._append([each.entry for each in changes if isinstance(each, change.AppendAudit)])
        for each in changes:
            match each:
                case change.SealAudit(keys=keys, first=first):
                    self._head = self._sealed(keys, first=first) or self._head
                case change.PruneAudit(through=through, keys=keys):
                    self._prune(through, keys)
                case change.PutAuditHead(head=head):
                    self._put(head)
        if self._head != before:
            table = schema.audit_heads
            self._connection.execute(update(table).where(table.c.trail == self._trail).values(_values(self._head)))

    def _append(self, new: abc.Iterable[AuditEntry]) -> None:
        sequence, last = self._head.sequence, self._head.link
        rows = []
        for entry in new:
            sequence += 1
            numbered = replace(entry, sequence=sequence)
            last = link(last, numbered)
            rows.append({"trail": self._trail, **_values(replace(numbered, link=last))})
        if rows:
            self._connection.execute(insert(schema.audit).inline(), rows)
            self._head = replace(self._head, sequence=sequence, link=last)

    def _sealed(self, keys: AuditKeys, *, first: bool = False) -> AuditHead | None:
        """The head, sealed at its end; None where that must not be."""
        head, active = self._head, self._active_version
        follows = keys.authenticates(head) or (first and head.sealed_version == head.base_sequence == 0)
        if active not in keys or not follows:
            return None
        if not (self._was_sealed_to_its_end or self._leads_from_seal_to_end()):
            return None
        return self._with_mac(replace(head, sealed_sequence=head.sequence, sealed_link=head.link), active, keys)

    def _leads_from_seal_to_end(self) -> bool:
        head = self._head
        last, sequence = head.sealed_link, head.sealed_sequence
        rows = self._connection.execute(entries(self._trail, head.sealed_sequence)).all()
        try:
            for entry in read(AuditEntry, schema.audit, rows):
                sequence, last = sequence + 1, link(last, entry)
                if (entry.sequence, entry.link) != (sequence, last):
                    return False
        except MappingStoreError:  # a row that keysvc cannot have written
            return False
        return (sequence, last) == (head.sequence, head.link)

    def _prune(self, through: int, keys: AuditKeys) -> None:
        head = self._sealed(keys)
        table = schema.audit
        where = (table.c.trail == self._trail) & (table.c.sequence <= through)
        last = self._connection.scalar(select(table.c.link).where(where, table.c.sequence == through))
        if head is None or last is None or not head.base_sequence < through <= self._head.sealed_sequence:
            raise Conflict(
                f"the audit trail {self._trail} cannot be pruned up to {through}", hint="keysvc audit verify"
            )
        self._connection.execute(delete(table).where(where))
        pruned = replace(head, base_sequence=through, base_link=last)
        self._head = self._with_mac(pruned, head.sealed_version, keys)

    def _accept(self, keys: AuditKeys) -> None:
        active = self._active_version
        if active not in keys:
            raise Conflict("the audit trail cannot be sealed without the active version of the master secret")
        table = schema.audit
        newest = self._connection.execute(
            select(table.c.sequence, table.c.link)
            .where(table.c.trail == self._trail)
            .order_by(table.c.sequence.desc())
            .limit(1)
        ).first()
        sequence, last = self._head.sequence, self._head.link
        if newest is not None and newest.sequence >= sequence:
            sequence, last = newest.sequence, newest.link
        accepted = AuditHead(self._trail, sequence, last, sequence, last, sequence, last)
        self._head = self._with_mac(accepted, active, keys)
        self._was_sealed_to_its_end = True

    def _put(self, head: AuditHead) -> None:
        if (head.sequence, head.link) == (head.base_sequence, head.base_link):
            self._connection.execute(delete(schema.audit).where(schema.audit.c.trail == self._trail))
        elif (head.sequence, head.link) != (self._head.sequence, self._head.link):
            raise Conflict(f"the audit trail {self._trail} is another one than where it comes from")
        self._head = head

    def _with_mac(self, head: AuditHead, version: int, keys: AuditKeys) -> AuditHead:
        sealed = replace(head, sealed_version=version)
        return replace(sealed, mac=keys.mac(sealed))


def _values(record: AuditEntry | AuditHead) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
