"""Batches in T-SQL: one statement for all rows, which come as one JSON text, or as parameters.

`OPENJSON` is there from SQL Server 2016 in databases of the compatibility level 130. Other makers' servers have it too,
and some leave the escapes of JSON in the text, or cut it, which would change names in silence. So a server is asked
once (`probe`) whether it gives back what it was given. Where it does not, the rows are `VALUES` of parameters, as many
to a statement as it can have.
"""

from __future__ import annotations

import enum
from collections import abc
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Dialect, Table

from keysvc.stores.batches import Action, Batch, Row
from keysvc_mssql import wire
from keysvc_mssql.types import COLLATION, Declared, declared
from keysvc_mssql.wire import Statement

_ORDER = "ordinal"
_BEGIN_ABOVE = """
UPDATE guard SET first_revision = h.highest + 1
FROM (SELECT MAX(r.revision) AS highest
      FROM (SELECT revision FROM mappings UNION ALL SELECT revision FROM credentials) AS r) AS h
WHERE guard.first_revision <= h.highest"""


@dataclass(frozen=True, slots=True)
class Given:
    """Rows as a derived table `given`, by column."""

    sql: str
    parameters: tuple[Any, ...]
    sizes: tuple[wire.Size, ...]
    count: int


class Json(enum.Enum):
    """What a server gives back of the rows that it reads as JSON."""

    WHOLE = "every text"
    PLAIN = "text of up to 4,000 characters that needs no escape"
    NONE = "nothing, or something else"


SHORT = 4000
"""Characters of a text that every server reads whole."""


class Source:
    """Gives the rows of a batch to a statement."""

    def __init__(self, dialect: Dialect, json: Json) -> None:
        self._dialect = dialect
        self._json = json

    def statements(self, batch: Batch) -> abc.Iterator[Statement]:
        """What writes a batch. Each says how many rows it must change."""
        if batch.action is Action.DELETE:
            yield Statement(_BEGIN_ABOVE, (), ())
        columns = {name: declared(batch.table.c[name].type, self._dialect) for name in batch.rows[0]}
        rows = _bound(batch, self._dialect)
        if batch.action is Action.APPEND:
            columns[_ORDER] = Declared("int", wire.INTEGER)
            rows = [{**row, _ORDER: number} for number, row in enumerate(rows)]
        for given in self.given(columns, rows):
            yield from _written(batch, given)

    def given(self, columns: abc.Mapping[str, Declared], rows: abc.Sequence[Row]) -> abc.Iterator[Given]:
        """All rows at once in JSON; else, and for a single one, as many as parameters allow."""
        text = self._text(rows) if len(rows) > 1 else None
        if text is not None:
            yield Given(_json_table(columns), (text,), (wire.TEXT,), len(rows))
            return
        sizes = tuple(column.size for column in columns.values())
        most = wire.PARAMETERS // len(columns)
        for some in (rows[start : start + most] for start in range(0, len(rows), most)):
            values = tuple(row[name] for row in some for name in columns)
            yield Given(_values_table(columns, len(some)), values, sizes * len(some), len(some))

    def _text(self, rows: abc.Sequence[Row]) -> str | None:
        """The rows as JSON that this server reads whole, or None."""
        if self._json is Json.NONE:
            return None
        plain = [_plain(row) for row in rows]
        text = msgspec.json.encode(plain).decode()
        is_short = all(len(value) <= SHORT for row in plain for value in row.values() if isinstance(value, str))
        return text if self._json is Json.WHOLE or (is_short and "\\" not in text) else None


def _bound(batch: Batch, dialect: Dialect) -> list[Row]:
    """The rows as the types of their columns write them. Raises InvalidInput for what cannot be kept."""
    write = {name: _writer(batch.table, name, dialect) for name in batch.rows[0]}
    return [{name: write[name](value) for name, value in row.items()} for row in batch.rows]


def _writer(table: Table, name: str, dialect: Dialect) -> abc.Callable[[Any], Any]:
    return table.c[name].type.dialect_impl(dialect).bind_processor(dialect) or (lambda value: value)


def _plain(row: Row) -> Row:
    return {name: _in_json(value) for name, value in row.items()}


def _in_json(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def _json_table(columns: abc.Mapping[str, Declared]) -> str:
    """Binary values are hexadecimal digits."""
    types = {name: "nvarchar(max)" if column.is_binary else column.sql for name, column in columns.items()}
    taken = ", ".join(f"[{name}] {kind} '$.{name}'" for name, kind in types.items())
    shown = {name: f"CONVERT(varbinary(max), j.[{name}], 2)" for name, column in columns.items() if column.is_binary}
    return f"(SELECT {_shown(columns, 'j', shown)} FROM OPENJSON(?) WITH ({taken}) AS j) AS given"  # noqa: S608


def _values_table(columns: abc.Mapping[str, Declared], count: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    names = ", ".join(f"[{name}]" for name in columns)
    values = ", ".join([row] * count)
    return f"(SELECT {_shown(columns, 'v', {})} FROM (VALUES {values}) AS v ({names})) AS given"  # noqa: S608


def _shown(columns: abc.Mapping[str, Declared], table: str, instead: abc.Mapping[str, str]) -> str:
    """Text with its collation: else it has the database's, and cannot be compared with that of the tables."""
    collated = {name: f"{table}.[{name}] COLLATE {COLLATION}" for name, column in columns.items() if column.is_text}
    expressions = {name: instead.get(name) or collated.get(name) or f"{table}.[{name}]" for name in columns}
    return ", ".join(f"{expression} AS [{name}]" for name, expression in expressions.items())


def _written(batch: Batch, given: Given) -> abc.Iterator[Statement]:
    table, key, values = f"[{batch.table.name}]", batch.key, batch.values
    same = " AND ".join(f"{table}.[{name}] = given.[{name}]" for name in key)
    setting = ", ".join(f"[{name}] = given.[{name}]" for name in values)
    rows: int | None = given.count
    sql = ""
    match batch.action:
        case Action.CREATE | Action.APPEND:
            sql = _insert(batch, given)
        case Action.SWAP | Action.REENCRYPT:
            rows = None if batch.action is Action.REENCRYPT else rows
            sql = (
                f"UPDATE {table} WITH (UPDLOCK, ROWLOCK) SET {setting}, [revision] = {table}.[revision] + 1\n"  # noqa: S608
                f"FROM {given.sql}\nWHERE {same} AND {table}.[revision] = given.[revision]"
            )
        case Action.REPLACE:
            sql = f"UPDATE {table} SET {setting} FROM {given.sql} WHERE {same}"  # noqa: S608
        case Action.DELETE:
            sql = f"DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM {given.sql} WHERE {same})"  # noqa: S608
        case Action.RECORD:
            known = f"UPDATE {table} SET {setting} FROM {given.sql} WHERE {same}"  # noqa: S608
            yield Statement(known, given.parameters, given.sizes)
            sql, rows = f"{_insert(batch, given)} WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {same})", None  # noqa: S608
    yield Statement(sql, given.parameters, given.sizes, rows)


def _insert(batch: Batch, given: Given) -> str:
    names = list(batch.rows[0])
    into, taken = ", ".join(f"[{name}]" for name in names), ", ".join(f"given.[{name}]" for name in names)
    if batch.action is Action.CREATE:
        into, taken = f"{into}, [revision]", f"{taken}, guard.[first_revision]"
    sql = f"INSERT INTO [{batch.table.name}] ({into})\nSELECT {taken} FROM {given.sql}"
    if batch.action is Action.CREATE:
        return f"{sql} CROSS JOIN guard"
    return f"{sql} ORDER BY given.[{_ORDER}]" if batch.action is Action.APPEND else sql


# -- the probe -------------------------------------------------------------------------------------------------------

_NASTY = 'CORP\\alice "x" / \b\f\n\r\t\x01\x1f'
_HARMLESS = ("Łukasz \ufb01 \u017f A\u030a Å 日本 🔑\u2028\ufffd\x7f/", "plain", "")
_COLUMNS = {
    "text": Declared("nvarchar(max)", wire.TEXT),
    "name": Declared("nvarchar(512)", (wire.SQL_WVARCHAR, 512, 0)),
    "content": Declared("varbinary(max)", wire.BINARY),
    "number": Declared("bigint", wire.BIG),
    "at": Declared("datetime2(6)", wire.TIME),
}


def _rows(texts: abc.Sequence[str], longest: bytes) -> list[Row]:
    return [
        {
            "text": text if number else None,
            "name": text,
            "content": longest if number % 2 else b"\0",
            "number": 2**63 - 1 - number,
            "at": datetime(2026, 2, 3, 4, 5, 6, 789012) if number else None,
        }
        for number, text in enumerate(texts)
    ]


PROBED: abc.Mapping[Json, list[Row]] = {
    Json.WHOLE: _rows((_NASTY, *_HARMLESS), bytes(range(256)) * 40),
    Json.PLAIN: _rows(_HARMLESS, bytes(range(250)) * (SHORT // 500)),
}
"""The rows that a server has to give back, the best first."""


def probe(dialect: Dialect, what: Json) -> tuple[str, str]:
    """A query that gives back rows from JSON, and its parameter."""
    (given,) = Source(dialect, what).given(_COLUMNS, PROBED[what])
    names = ", ".join(f"given.[{name}]" for name in _COLUMNS)
    return f"SELECT {names} FROM {given.sql} ORDER BY given.[number] DESC", given.parameters[0]  # noqa: S608


def is_exact(answer: abc.Iterable[abc.Sequence[Any]], what: Json) -> bool:
    """Whether the server gave back what it was given by `probe`."""
    return [tuple(row) for row in answer] == [tuple(row.values()) for row in PROBED[what]]
