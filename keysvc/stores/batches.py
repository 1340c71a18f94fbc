"""The changes of a commit as batches: rows of one table that are written alike, which one statement can write.

A commit may hold thousands of changes. They are grouped here once, for every SQL store. How a batch is written is the
database's own: `write` does it with what all of them know.
"""

from __future__ import annotations

import enum
import itertools
from collections import abc
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, func, insert, select, update

from keysvc.errors import InvalidInput
from keysvc.model import Application, Identity, Mapping, names
from keysvc.plugin import changes as change
from keysvc.stores import schema

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = dict[str, Any]
first_revision = select(schema.guard.c.first_revision).scalar_subquery()


class DoesNotFit(Exception):
    """A row of a batch that was written in one go does not fit. Applied one by one, the changes tell which and why."""


class Action(enum.Enum):
    """What a batch does with its rows."""

    CREATE = "insert rows that have a revision; each begins at the guard's first revision"
    SWAP = "replace each row if it still has the revision given; every row must be there"
    REENCRYPT = "replace each row if it still has the revision given; leave the others alone"
    DELETE = "delete rows by their key; every row must be there"
    REPLACE = "replace each row; every row must be there"
    RECORD = "insert each row, or replace the one with its key"
    APPEND = "insert rows"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table, by column, with one action. All rows have the same columns."""

    action: Action
    table: Table
    rows: abc.Sequence[Row]

    @property
    def key(self) -> list[str]:
        """The columns of the primary key."""
        return [str(column.name) for column in self.table.primary_key]

    @property
    def values(self) -> list[str]:
        """The other columns that the rows give, without the revision."""
        return [name for name in self.rows[0] if name not in {*self.key, "revision"}]


_KINDS: abc.Mapping[type, tuple[Action, Table]] = {
    change.DeleteMapping: (Action.DELETE, schema.mappings),
    change.DeleteCredential: (Action.DELETE, schema.credentials),
    change.Reencrypt: (Action.REENCRYPT, schema.credentials),
    change.SeeServers: (Action.RECORD, schema.servers),
    change.AppendEvent: (Action.APPEND, schema.outbox),
}

_NAMED: abc.Mapping[type, str] = {Application: "name", Mapping: "user", Identity: "name"}
"""The column of each record that its key is made of."""

Part = tuple[Batch | None, list[change.Change]]


def grouped(changes: abc.Iterable[change.Change]) -> abc.Iterator[Part]:
    """The changes as batches; those that are none, without one. Each has its place in their order, but the new and the
    changed rows of one table that follow each other are two batches, however they are mixed: a commit that has the same
    row twice does not fit, and is applied one by one. Raises InvalidInput for a new row with an empty name."""
    for _, neighbours in itertools.groupby(changes, _run):
        kinds: dict[tuple[Action, Table] | None, list[change.Change]] = {}
        for each in neighbours:
            kinds.setdefault(_kind(each), []).append(each)
        for kind, alike in kinds.items():
            rows = [row for each in alike for row in _rows(each)]
            yield (None if kind is None or not rows else Batch(*kind, _of_kind(*kind, rows))), alike


def _run(each: change.Change) -> object:
    return type(each) if isinstance(each, change.PutMapping | change.PutCredential) else _kind(each)


def _kind(each: change.Change) -> tuple[Action, Table] | None:
    match each:
        case change.PutMapping(mapping=mapping):
            return (Action.SWAP if mapping.revision else Action.CREATE), schema.mappings
        case change.PutCredential(credential=credential):
            return (Action.SWAP if credential.revision else Action.CREATE), schema.credentials
    return _KINDS.get(type(each))


def _rows(each: change.Change) -> list[Row]:
    match each:
        case change.PutMapping(mapping=record) | change.PutCredential(credential=record) | change.AppendEvent(record):
            return [values_of(record)]
        case change.Reencrypt(credentials=records) | change.SeeServers(servers=records):
            return [values_of(record) for record in records]
        case change.DeleteMapping() | change.DeleteCredential():
            return [values_of(each)]
    return []


def _of_kind(action: Action, table: Table, rows: list[Row]) -> list[Row]:
    if action is Action.CREATE:
        for row in rows:
            del row["revision"]
            refuse_empty_names(table, row)
    if action is Action.RECORD:  # of one that was seen twice, the later record
        return list({tuple(row[column.name] for column in table.primary_key): row for row in rows}.values())
    return rows


def refuse_empty_names(table: Table, row: Row) -> None:
    """Paging begins after the empty name. Raises InvalidInput."""
    if not all(row[column.name] for column in table.primary_key):
        raise InvalidInput(f"an empty name among the {table.name}")


def values_of(record: DataclassInstance) -> Row:
    """A record by column, with the key of its name."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    named = _NAMED.get(type(record))
    if named is not None:
        values[f"{named}_key"] = names.key(values[named])
    return values


# -- with what every database knows ----------------------------------------------------------------------------------


def write(connection: Connection, batch: Batch) -> bool:
    """Write a batch of one or more rows. Returns False, or raises IntegrityError, when a row does not fit: which one
    and why is found by applying the changes one by one."""
    if batch.action is Action.CREATE:
        connection.execute(insert(batch.table).values(revision=first_revision).inline(), batch.rows)
        return True
    if batch.action is Action.APPEND:
        connection.execute(insert(batch.table).inline(), batch.rows)
        return True
    if batch.action is Action.DELETE:
        return _delete(connection, batch)
    changed = connection.execute(_update(batch), _parameters(batch)).rowcount
    return batch.action is Action.REENCRYPT or changed == len(batch.rows)


def _delete(connection: Connection, batch: Batch) -> bool:
    """No revision of the rows that go is above the highest that is there."""
    highest = highest_revision(connection)
    if connection.execute(delete(batch.table).where(_at(batch)), _parameters(batch)).rowcount != len(batch.rows):
        return False
    begin_above(connection, highest)
    return True


def _update(batch: Batch) -> Any:
    table = batch.table
    new: Row = {name: bindparam(f"new_{name}") for name in batch.values}
    if batch.action in (Action.RECORD, Action.REPLACE):
        return update(table).where(_at(batch)).values(new)
    same = _at(batch) & (table.c.revision == bindparam("of_revision"))
    return update(table).where(same).values({**new, "revision": table.c.revision + 1})


def _at(batch: Batch) -> ColumnElement[bool]:
    first, *others = (batch.table.c[name] == bindparam(f"of_{name}") for name in batch.key)
    where: ColumnElement[bool] = first
    for other in others:
        where &= other
    return where


def _parameters(batch: Batch) -> list[Row]:
    values = set(batch.values)
    return [{f"{'new' if name in values else 'of'}_{name}": row[name] for name in row} for row in batch.rows]


def highest_revision(connection: Connection) -> int:
    """The highest of all mappings and credentials, or 0."""
    both = (select(func.max(table.c.revision)).scalar_subquery() for table in (schema.mappings, schema.credentials))
    return max((revision or 0 for revision in connection.execute(select(*both)).one()), default=0)


def begin_above(connection: Connection, revision: int) -> None:
    """Rows that are created from now on have a higher revision."""
    first = schema.guard.c.first_revision
    connection.execute(update(schema.guard).where(first <= revision).values(first_revision=revision + 1))
