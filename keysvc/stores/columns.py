"""The types of the columns of a SQL mapping store, and how its keys are declared.

Portable to SQLite, PostgreSQL and SQL Server. Names compare exactly, byte by byte: SQLite does so by itself (BINARY),
PostgreSQL under the collation "C", SQL Server under Latin1_General_100_BIN2. SQL Server still ignores trailing
spaces when it compares, and PostgreSQL keeps no null: no name has them, so that a system can move. Values that keysvc
never searches are JSON in text columns. What cannot be parsed is returned as it is, so that the reader of the row can
name it.

Released migration steps use these types: what a type is called in a database must stay. Where it must change, a new
type is added beside the old one.
"""

# ruff: noqa: ARG002, D102 -- the types below have the signatures of SQLAlchemy, which documents them
from __future__ import annotations

from collections import abc
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    TypeDecorator,
    Unicode,
    UnicodeText,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.types import TypeEngine

from keysvc.errors import InvalidInput

NAME_CHARACTERS = 256
MSSQL_NAME_BYTES = 850  # two of them are the longest key of an index there
_COLLATIONS = {"mssql": "Latin1_General_100_BIN2", "postgresql": "C"}


class Name(TypeDecorator[str]):
    """Text of a limited length, compared exactly. A longer one is refused, never cut."""

    impl = Unicode
    cache_ok = True

    def __init__(self, length: int = NAME_CHARACTERS) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # SQL Server counts UTF-16 units: an emoji is two of them
        length = self.length * 2 if dialect.name == "mssql" else self.length
        return dialect.type_descriptor(Unicode(length, collation=_COLLATIONS.get(dialect.name)))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if len(value) > self.length:
            raise InvalidInput(f"a name has more than {self.length} characters: {value[:40]!r}…")
        value.encode()  # half of a surrogate pair is no text, and some databases would keep it
        indexed = dialect.name == "mssql" and self.length <= NAME_CHARACTERS
        if indexed and len(value.encode("utf-16-le")) > MSSQL_NAME_BYTES:
            raise InvalidInput(f"a name is too long for an index of SQL Server: {value[:40]!r}…")
        if value.endswith(" ") or "\0" in value:
            raise InvalidInput(f"a name ends in a blank or holds a null: {value[:40]!r}")
        return str(value)


class Instant(TypeDecorator[datetime]):
    """An aware UTC time with microseconds; naive ones are refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(32))
        if dialect.name == "mssql":
            from sqlalchemy.dialects.mssql import DATETIME2

            return dialect.type_descriptor(DATETIME2(6))  # type: ignore[no-untyped-call]
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise InvalidInput("a time without a time zone")
        instant = value.astimezone(UTC)
        return instant.isoformat(timespec="microseconds") if dialect.name == "sqlite" else instant.replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC)
        try:
            return value if value is None else datetime.fromisoformat(value)
        except (ValueError, TypeError):
            return value


class Json(TypeDecorator[Any]):
    """Any value that msgspec writes, as text."""

    impl = UnicodeText
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return msgspec.json.encode(dict(value) if isinstance(value, abc.Mapping) else value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        try:
            return msgspec.json.decode(value)
        except (ValueError, TypeError, RecursionError):
            return value


class Switch(TypeDecorator[bool]):
    """True or False as 1 or 0."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> int:
        return int(bool(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return {0: False, 1: True}.get(value, value)


ORDERED = BigInteger().with_variant(Integer, "sqlite")
"""The type of a column that the database numbers by itself: SQLite does so only in an INTEGER."""


class LongKey(PrimaryKeyConstraint):
    """A primary key that may have more than the 900 bytes at which a clustered index of SQL Server ends."""


@compiles(LongKey, "mssql")
def _long_key(constraint: LongKey, compiler: DDLCompiler, **options: Any) -> str:
    constraint.dialect_options["mssql"]["clustered"] = False
    return compiler.visit_primary_key_constraint(constraint, **options)


def single_row() -> Column[int]:
    """Return the primary key of a table that has one row, with the id 1."""
    return Column("id", Integer, primary_key=True, autoincrement=False)
