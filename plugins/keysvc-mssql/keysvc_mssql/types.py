"""The type of SQL Server that each column of keysvc has, as parameters and the rows of batches declare it."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, SmallInteger, String
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mssql.mssqlpython import MSDialect_mssqlpython
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc
from sqlalchemy.engine.interfaces import BindTyping
from sqlalchemy.types import TypeDecorator, TypeEngine

from keysvc_mssql import wire

COLLATION = "Latin1_General_100_BIN2"


@dataclass(frozen=True, slots=True)
class Declared:
    """A type in T-SQL, and in ODBC."""

    sql: str
    size: wire.Size

    @property
    def is_text(self) -> bool:
        """Whether it has a collation."""
        return self.size[0] == wire.SQL_WVARCHAR

    @property
    def is_binary(self) -> bool:
        """Whether it is no text."""
        return self.size[0] == wire.SQL_VARBINARY


_OTHERS: abc.Sequence[tuple[type[TypeEngine[Any]], Declared]] = (
    (LargeBinary, Declared("varbinary(max)", wire.BINARY)),
    (SmallInteger, Declared("smallint", wire.SMALL)),
    (BigInteger, Declared("bigint", wire.BIG)),
    (Integer, Declared("int", wire.INTEGER)),
    (DateTime, Declared("datetime2(6)", wire.TIME)),
)


def declared(kind: TypeEngine[Any], dialect: Dialect) -> Declared:
    """The type of a column or parameter. What keysvc has no columns of is text."""
    if isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(dialect)
    if isinstance(kind, String) and kind.length:
        return Declared(f"nvarchar({kind.length})", (wire.SQL_WVARCHAR, kind.length, 0))
    for python, found in _OTHERS:
        if isinstance(kind, python):
            return found
    return Declared("nvarchar(max)", wire.TEXT)


class _DeclaredTypes:
    """Give each parameter of a compiled statement the type of its column. No package can guess that of a null."""

    bind_typing = BindTyping.SETINPUTSIZES
    use_insertmanyvalues_wo_returning = True

    def do_set_input_sizes(self, cursor: Any, list_of_tuples: list[tuple[str, Any, TypeEngine[Any]]], _: Any) -> None:
        """Called by SQLAlchemy before each statement that it compiled."""
        cursor.setinputsizes([declared(kind, self).size for _, _, kind in list_of_tuples])  # type: ignore[arg-type]


class MSSQLPython(_DeclaredTypes, MSDialect_mssqlpython):
    """SQL Server through mssql-python."""

    supports_statement_cache = True


class PyODBC(_DeclaredTypes, MSDialect_pyodbc):
    """SQL Server through pyodbc."""

    supports_statement_cache = True


registry.register("mssql.keysvc_mssqlpython", __name__, "MSSQLPython")
registry.register("mssql.keysvc_pyodbc", __name__, "PyODBC")
