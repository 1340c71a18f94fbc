"""A connection of either package, as SQLAlchemy expects one (PEP 249), that decides what goes over the wire.

- Every parameter has a declared type: that of `setinputsizes`, or of the kind of the Python value. Text is `nvarchar`,
  never in a code page; a package that guesses takes the type from the data.
- A statement with parameters is prepared once for each connection. To prepare and forget it each time costs a second
  round trip.
- A statement can wait (`defer`) until the next one, and both go in one round trip.
- The number of an error is kept, as `keysvc_number` of the exception.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, abc
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from keysvc.stores.batches import DoesNotFit

Size = tuple[int, int, int]
"""An ODBC type, its length (0 for `max`), and its digits."""

SQL_WVARCHAR, SQL_VARBINARY, SQL_SMALLINT, SQL_INTEGER, SQL_BIGINT, SQL_TYPE_TIMESTAMP = -9, -3, 5, 4, -5, 93
TEXT: Size = (SQL_WVARCHAR, 0, 0)
BINARY: Size = (SQL_VARBINARY, 0, 0)
SMALL: Size = (SQL_SMALLINT, 5, 0)
INTEGER: Size = (SQL_INTEGER, 10, 0)
BIG: Size = (SQL_BIGINT, 19, 0)
TIME: Size = (SQL_TYPE_TIMESTAMP, 26, 6)
_OF_VALUES: abc.Mapping[type, Size] = {str: TEXT, bytes: BINARY, int: BIG, datetime: TIME}

PARAMETERS = 2000
"""Of one statement; SQL Server takes 2,100, and some are the call's own."""

SEND = "-- what waits is sent"
"""A statement that is none: it sends what waits, if anything does."""

KEPT = 64
"""Prepared statements of one connection; the one that was not used longest goes first."""

_DOES_NOT_FIT = "keysvc: a row does not fit"
_CHECK = f"IF @@ROWCOUNT <> {{}} THROW 50001, N'{_DOES_NOT_FIT}', 1;"  # 50000 and above are for applications


@dataclass(frozen=True, slots=True)
class Statement:
    """One that changes rows. `rows` is how many it must change, if that matters."""

    sql: str
    parameters: tuple[Any, ...]
    sizes: tuple[Size, ...]
    rows: int | None = None

    @property
    def checked(self) -> str:
        """It, and what makes the server refuse another number of rows."""
        return f"{self.sql};\n" if self.rows is None else f"{self.sql};\n{_CHECK.format(self.rows)}\n"


class Package(Protocol):
    """What differs between mssql-python and pyodbc."""

    def cursor(self, connection: Any) -> Any:
        """A new cursor of the package."""

    def number(self, cursor: Any, error: Exception) -> int | None:
        """The server's number of an error that a cursor has raised, where the package tells it."""


class Connection:
    """A connection in autocommit."""

    def __init__(self, package: Package, connection: Any) -> None:
        self._package = package
        self._connection = connection
        self._idle: OrderedDict[str, Any] = OrderedDict()
        self._waiting: list[Statement] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @property
    def autocommit(self) -> bool:
        """Always true."""
        return bool(self._connection.autocommit)

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        self._connection.autocommit = value

    def cursor(self) -> Cursor:
        """A cursor, which is nothing before it executes."""
        return Cursor(self)

    def commit(self) -> None:
        """Do nothing: transactions are ended by statements."""

    def rollback(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """End it with what it has prepared."""
        self._idle.clear()
        self._connection.close()

    def has_room(self, parameters: int) -> bool:
        """Whether a statement with so many parameters can go with what waits."""
        return sum(len(each.parameters) for each in self._waiting) + parameters <= PARAMETERS

    def defer(self, statement: Statement) -> None:
        """Send it with the next one. Raises UnicodeEncodeError."""
        _check_text(statement.parameters)
        self._waiting.append(statement)

    def discard(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def take_waiting(self) -> list[Statement]:
        """What waits, which does so no longer."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def take(self, sql: str) -> Any:
        """A cursor of the package that may have prepared this statement."""
        return self._idle.pop(sql, None) or self._package.cursor(self._connection)

    def give_back(self, sql: str, cursor: Any) -> None:
        """Keep it for the next time."""
        if sql in self._idle:
            cursor.close()
            return
        self._idle[sql] = cursor
        if len(self._idle) > KEPT:
            self._idle.popitem(last=False)[1].close()

    def remember_number(self, cursor: Any, error: Exception) -> None:
        """Add its number to an exception. Raises DoesNotFit in its place."""
        if _DOES_NOT_FIT in str(error):
            raise DoesNotFit from None
        with contextlib.suppress(Exception):  # what is told of a connection that is lost is not always whole
            error.keysvc_number = self._package.number(cursor, error)  # type: ignore[attr-defined]


class Cursor:
    """The statement that it executes last, on a cursor of the package that has prepared it if it has parameters."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._sizes: list[Size] | None = None
        self._sql = ""
        self._cursor: Any = None

    @property
    def description(self) -> Any:
        """The columns of the result, or None."""
        return self._cursor.description if self._cursor is not None else None

    @property
    def rowcount(self) -> int:
        """How many rows were changed, or -1."""
        return self._cursor.rowcount if self._cursor is not None else -1

    def setinputsizes(self, sizes: abc.Sequence[Size]) -> None:
        """The types of the parameters of the next statement."""
        self._sizes = list(sizes)

    def execute(self, sql: str, parameters: abc.Sequence[Any] = ()) -> Cursor:
        """Execute it, and before it what waits: in the same round trip, where both can be together. A batch without
        parameters may begin or end a transaction, one with parameters may not. Raises the package's errors,
        DoesNotFit, and UnicodeEncodeError."""
        _check_text(parameters)
        sizes = self._declared([parameters])
        if sql != SEND and not (parameters and self.connection.has_room(len(parameters))):
            self._run(SEND, (), [])
        self._run(sql, parameters, sizes)
        return self

    def executemany(self, sql: str, rows: abc.Sequence[abc.Sequence[Any]]) -> Cursor:
        """Execute it for each row. The types are declared for all of them."""
        for row in rows:
            _check_text(row)
        sizes = self._declared(rows)
        self._run(SEND, (), [])
        self._send(sql, sizes, lambda cursor: cursor.executemany(sql, rows))
        return self

    def fetchone(self) -> Any:
        """The next row, or None."""
        return self._fetch(lambda cursor: cursor.fetchone())

    def fetchmany(self, size: int | None = None) -> Any:
        """The next rows."""
        return self._fetch(lambda cursor: cursor.fetchmany(size or self.arraysize))

    def fetchall(self) -> Any:
        """All rows that are left."""
        return self._fetch(lambda cursor: cursor.fetchall())

    def nextset(self) -> Any:
        """Go to the next result."""
        return self._fetch(lambda cursor: cursor.nextset())

    def close(self) -> None:
        """Keep what was prepared. What it did not read is skipped, or the connection stays busy with it."""
        cursor, self._cursor = self._cursor, None
        if cursor is None:
            return
        try:
            while cursor.nextset():
                pass
        except Exception as error:
            self.connection.remember_number(cursor, error)
            cursor.close()
            raise
        self.connection.give_back(self._sql, cursor)

    def _declared(self, rows: abc.Sequence[abc.Sequence[Any]]) -> list[Size]:
        sizes, self._sizes = self._sizes, None
        return sizes or [_size_of(column) for column in zip(*rows, strict=True)]

    def _run(self, sql: str, parameters: abc.Sequence[Any], sizes: list[Size]) -> None:
        waiting = self.connection.take_waiting()
        if waiting:
            before = "".join(each.checked for each in waiting)
            sql = f"SET NOCOUNT ON;\n{before}SET NOCOUNT OFF;\n{'' if sql == SEND else sql}"
            parameters = (*(value for each in waiting for value in each.parameters), *parameters)
            sizes = [*(size for each in waiting for size in each.sizes), *sizes]
        elif sql == SEND:
            return
        if parameters:
            self._send(sql, sizes, lambda cursor: cursor.execute(sql, tuple(parameters)))
        else:
            self._send("", sizes, lambda cursor: cursor.execute(sql))

    def _send(self, prepared: str, sizes: list[Size], execute: abc.Callable[[Any], object]) -> None:
        self.close()
        cursor = self.connection.take(prepared)
        try:
            if sizes:
                cursor.setinputsizes(sizes)
            execute(cursor)
        except Exception as error:
            self.connection.remember_number(cursor, error)
            with contextlib.suppress(Exception):
                cursor.close()
            raise
        self._sql, self._cursor = prepared, cursor

    def _fetch(self, fetch: abc.Callable[[Any], Any]) -> Any:
        try:
            return fetch(self._cursor)
        except Exception as error:
            self.connection.remember_number(self._cursor, error)
            raise


def _check_text(values: abc.Iterable[Any]) -> None:
    """Raises UnicodeEncodeError for half of a surrogate pair, for which each package has an error of its own."""
    for value in values:
        if isinstance(value, str):
            value.encode("utf-16-le")


def _size_of(column: abc.Iterable[Any]) -> Size:
    for value in column:
        for kind, size in _OF_VALUES.items():
            if isinstance(value, kind):
                return size
    return TEXT
