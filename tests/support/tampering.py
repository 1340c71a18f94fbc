"""What somebody who can write to the database might do to the audit, at a random entry."""

from __future__ import annotations

import random
from collections import abc
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select, update

from keysvc.model import AuditTrail
from keysvc.plugin.audit_chain import link
from keysvc.stores import schema
from keysvc.stores.sql import SQLMappingStore

TRAIL = AuditTrail.CHANGES
entries, heads = schema.audit, schema.audit_heads
of_trail = entries.c.trail == TRAIL
head_of_trail = heads.c.trail == TRAIL


def within(store: SQLMappingStore, work: abc.Callable[[Connection], object]) -> None:
    """Write past keysvc, as a database operator does."""
    with store._engine.connect() as connection:
        store._begin(connection)
        work(connection)
        store._commit(connection)


def saved(store: SQLMappingStore) -> abc.Callable[[], None]:
    """What brings the audit back to where it is now."""
    with store._engine.connect() as connection:
        kept = {table: [dict(row._mapping) for row in connection.execute(select(table))] for table in (entries, heads)}

    def restore(connection: Connection) -> None:
        for table, rows in kept.items():
            connection.execute(delete(table))
            connection.execute(insert(table), rows)

    return lambda: within(store, restore)


class Tampering:
    """One random change of the trail `changes`; `did` says which, for the message of a test that fails."""

    def __init__(self, store: SQLMappingStore, seed: int) -> None:
        self._store, self._random = store, random.Random(seed)
        self._trail = list(store.audit(TRAIL, limit=10_000))
        self._ways = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("way_")]
        way = self._ways[seed % len(self._ways)]
        self._entry = self._random.choice(self._trail)
        self.did = f"{way.__name__[4:]} at {self._entry.sequence} of {len(self._trail)}"
        within(store, way)

    def _at(self, sequence: int):
        return of_trail & (entries.c.sequence == sequence)

    def way_delete(self, connection: Connection) -> None:
        connection.execute(delete(entries).where(self._at(self._entry.sequence)))

    def way_delete_and_close_the_gap(self, connection: Connection) -> None:
        first = self._entry.sequence
        connection.execute(delete(entries).where(self._at(first)))
        for entry in self._trail[first:]:
            connection.execute(update(entries).where(self._at(entry.sequence)).values(sequence=entry.sequence - 1))
        connection.execute(update(heads).where(head_of_trail).values(sequence=len(self._trail) - 1))

    def way_change_a_column(self, connection: Connection) -> None:
        entry = self._entry
        changed = {
            "at": entry.at + timedelta(microseconds=1),
            "actor": f"{entry.actor}x",
            "action": f"{entry.action}x",
            "subject": f"{entry.subject}x",
            "origin": f"{entry.origin}x",
            "result": f"{entry.result}x",
            "detail": {**entry.detail, "x": 1},
            "link": bytes([entry.link[0] ^ 1]) + entry.link[1:],
        }
        name = self._random.choice(sorted(changed))
        self.did += f": {name}"
        connection.execute(update(entries).where(self._at(entry.sequence)).values({name: changed[name]}))

    def way_swap_with_another(self, connection: Connection) -> None:
        other = self._random.choice([entry for entry in self._trail if entry.sequence != self._entry.sequence])
        places = [(self._entry.sequence, 0), (other.sequence, self._entry.sequence), (0, other.sequence)]
        for old, new in places:
            connection.execute(update(entries).where(self._at(old)).values(sequence=new))

    def way_add_one_at_the_end(self, connection: Connection) -> None:
        added = replace(self._entry, sequence=len(self._trail) + 1)
        added = replace(added, link=link(self._trail[-1].link, added))
        row = {column.name: getattr(added, column.name) for column in entries.columns}
        connection.execute(insert(entries), row)

    def way_cut_the_end_off(self, connection: Connection) -> None:
        last = self._trail[max(0, self._entry.sequence - 2)]
        connection.execute(delete(entries).where(of_trail, entries.c.sequence > last.sequence))
        ends = {"sequence": last.sequence, "link": last.link}
        sealed = {"sealed_sequence": last.sequence, "sealed_link": last.link}
        connection.execute(update(heads).where(head_of_trail).values(**ends, **sealed))

    def way_cut_the_beginning_off(self, connection: Connection) -> None:
        connection.execute(delete(entries).where(of_trail, entries.c.sequence <= self._entry.sequence))
        begins = {"base_sequence": self._entry.sequence, "base_link": self._entry.link}
        connection.execute(update(heads).where(head_of_trail).values(**begins))

    def way_change_one_and_write_the_chain_anew(self, connection: Connection) -> None:
        index = self._entry.sequence - 1
        previous = self._trail[index - 1].link if index else bytes(32)
        for entry in [replace(self._entry, actor="nobody"), *self._trail[index + 1 :]]:
            previous = link(previous, entry)
            new = {"actor": entry.actor, "link": previous}
            connection.execute(update(entries).where(self._at(entry.sequence)).values(new))
        ends = {"link": previous, "sealed_link": previous}
        connection.execute(update(heads).where(head_of_trail).values(**ends))

    def way_remove_all(self, connection: Connection) -> None:
        connection.execute(delete(entries).where(of_trail))
        fresh = {"sequence": 0, "link": bytes(32), "sealed_sequence": 0, "sealed_link": bytes(32)}
        connection.execute(update(heads).where(head_of_trail).values(**fresh, sealed_version=0, mac=b""))
