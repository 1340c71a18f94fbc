"""A SQL database as keysvc uses it: one transaction that checks the guard row, repeated when the database asks for it.

What differs between databases is here as methods to override; `keysvc.stores.sql` builds the mapping store on it.
"""

from __future__ import annotations

import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections import abc
from dataclasses import fields
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Connection, Engine, Select, exists, inspect, select, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError, StatementError

from keysvc.errors import (
    Conflict,
    InvalidInput,
    KeysvcError,
    MappingStoreError,
    MappingStoreUnavailable,
    NotConfigured,
    SchemaMismatch,
)
from keysvc.stores import schema
from keysvc.stores.migrations import MIGRATIONS, Migration
from keysvc.stores.sql_rows import GuardRow, read

Result = TypeVar("Result")

PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds, at most, before each repetition of a transaction that the database undid; they are drawn at random below."""

REPEAT_SECONDS = 15.0
"""After this a transaction that the database undid is not repeated any more: locks may be waited for long each time."""

OLDEST_READER_SINCE = 2
"""The first schema whose guard row has `oldest_reader`."""

GUARD_COLUMNS = tuple(schema.guard.c[field.name] for field in fields(GuardRow) if field.name in schema.guard.c)
"""What a `GuardRow` is read from, beside the key check value of the active version, and the settings of the system."""

_check_value = (
    select(schema.versions.c.check_value)
    .where(schema.versions.c.version == schema.guard.c.active_version)
    .scalar_subquery()
    .label("active_check_value")
)
_settings = select(schema.system.c.settings).limit(1).scalar_subquery().label("settings")
_guard_row: Select[Any] = select(*GUARD_COLUMNS, _check_value, _settings)


class Undone(MappingStoreUnavailable):
    """The transaction did not come about, for another's sake, and may be repeated."""


class SQLDatabase(ABC):
    """An engine, its transactions, and its errors as keysvc's. Transactions that write run at READ COMMITTED, neither
    less nor more: after they waited for the guard they must read what was committed meanwhile.

    A subclass gives `_now` and may override every method with one underscore, and `migrations` (it appends).
    """

    migrations: ClassVar[tuple[Migration, ...]] = MIGRATIONS

    def __init__(self, engine: Engine, *, url: str | None = None, reading: Engine | None = None) -> None:
        """`url` is what is shown of the store; by default the engine's without its password. `reading` shares the
        engine's pool, and reads each statement for itself: in autocommit, where that saves round trips."""
        engine.hide_parameters = True
        self._engine = engine
        self._reading = reading or engine
        self._url = url or engine.url.render_as_string(hide_password=True)
        self._ready = False

    # -- what differs between databases -------------------------------------------------------------------------

    @abstractmethod
    def _now(self, connection: Connection) -> datetime:
        """The database's clock, aware UTC, at this moment: not when the transaction began."""

    def _begin(self, connection: Connection) -> None:
        """Begin a transaction that writes."""
        connection.begin()

    def _commit(self, connection: Connection) -> None:
        """End it, durably."""
        connection.commit()

    def _roll_back(self, connection: Connection) -> None:
        """Undo it. The connection may be lost."""
        connection.rollback()

    def _has_tables(self, connection: Connection) -> bool:
        """Whether `prepare` ran before."""
        return inspect(connection).has_table(schema.guard.name)

    def _lock_schema(self, connection: Connection) -> None:  # noqa: B027
        """Let one `prepare` run at a time; called after `_begin`, perhaps on an empty database."""

    @abstractmethod
    def _lock_guard(self, connection: Connection, *, exclusive: bool) -> GuardRow:
        """Read the guard row, and keep others from changing it (`exclusive`: from locking it too) until the transaction
        ends. Who wants it alone is not overtaken for ever by those who share it: a lease must be renewed under load.
        """

    def _is_undone(self, error: DBAPIError) -> bool:  # noqa: ARG002
        """Whether the database undid the transaction for another's sake, so that it may be repeated: a deadlock, a
        serialization failure, a lock that was waited for too long."""
        return False

    def _translate(self, error: SQLAlchemyError) -> KeysvcError:
        """An error of keysvc for one of SQLAlchemy: one line with the URL and the driver's reason, no parameters."""
        origin = error.orig if isinstance(error, StatementError) else None
        if isinstance(origin, KeysvcError):
            return origin
        if isinstance(origin, UnicodeDecodeError):
            return self._damaged("it holds text that is not text")
        if isinstance(origin, UnicodeError | OverflowError | TypeError) or isinstance(error, DataError):
            return InvalidInput("a value that the mapping store cannot keep: not valid text, or too large")
        if isinstance(error, IntegrityError):
            return Conflict("the row exists already, or what it belongs to has gone")
        reason = (str(origin or error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, ProgrammingError):
            return MappingStoreError(f"{self._url}: {reason}")
        return MappingStoreUnavailable(f"{self._url}: {reason}")

    def _damaged(self, reason: str) -> MappingStoreError:
        return MappingStoreError(
            f"{self._url} is damaged or no database of keysvc: {reason}",
            hint="stop keysvc, keep the damaged database, and restore the database from a backup",
        )

    # -- transactions -------------------------------------------------------------------------------------------

    def _read(self, work: abc.Callable[[Connection], Result]) -> Result:
        """What `work` reads, from committed data."""

        def once() -> Result:
            with self._reading.connect() as connection:
                self._check_schema(connection)
                return work(connection)

        return self._repeated(once)

    def _write(self, work: abc.Callable[[Connection, GuardRow], Result], *, exclusive: bool) -> Result:
        """Run `work` in one transaction that holds the guard row; all of it is done, or nothing.

        `work` may run more than once: while a transaction is not committed, a deadlock or a lost connection repeats it.
        """

        def guarded(connection: Connection) -> Result:
            self._check_schema(connection)
            row = self._lock_guard(connection, exclusive=exclusive)
            self._check_release(connection, row.schema_version)
            return work(connection, row)

        return self._transaction(guarded)

    def _transaction(self, work: abc.Callable[[Connection], Result]) -> Result:
        def once() -> Result:
            with self._engine.connect() as connection:
                self._begin(connection)
                try:
                    result = work(connection)
                    self._commit_once(connection)
                except BaseException:
                    self._undo(connection)
                    raise
                return result

        return self._repeated(once)

    def _undo(self, connection: Connection) -> None:
        """A connection that cannot be brought out of its transaction is not used again."""
        try:
            self._roll_back(connection)
        except DBAPIError:
            connection.invalidate()

    def _commit_once(self, connection: Connection) -> None:
        try:
            self._commit(connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise MappingStoreUnavailable(
                f"{self._url}: the connection was lost while a change was being committed",
                hint="whether it was made is not known: look, and repeat it if it was not",
            ) from None

    def _repeated(self, once: abc.Callable[[], Result]) -> Result:
        with self._errors():
            give_up = time.monotonic() + REPEAT_SECONDS
            for pause in PAUSES:
                try:
                    return once()
                except Undone:
                    if time.monotonic() > give_up:
                        raise
                except DBAPIError as error:
                    lost = error.connection_invalidated and error.statement is not None  # else it never came about
                    if not (lost or self._is_undone(error)) or time.monotonic() > give_up:
                        raise
                time.sleep(random.uniform(0, pause))  # noqa: S311  spreads those that collided; no secret
            return once()

    @contextlib.contextmanager
    def _errors(self) -> abc.Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._translate(error) from None
        except UnicodeDecodeError:  # even the message of an error may come out of the damaged part
            raise self._damaged("it holds text that is not text") from None
        except (UnicodeEncodeError, OverflowError):
            raise InvalidInput("a value that the mapping store cannot keep: not valid text, or too large") from None

    # -- the guard row ------------------------------------------------------------------------------------------

    def _read_guard(self, connection: Connection) -> GuardRow:
        found = read(GuardRow, schema.guard, connection.execute(_guard_row).all())
        if not found:
            raise self._damaged("the table guard is empty")
        return found[0]

    # -- the schema ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Lead whatever is there to the schema of this release, in one transaction. Where the database commits each
        definition at once, a step that was interrupted is repeated: its statements leave alone what is there."""

        def upgrade(connection: Connection) -> None:
            self._lock_schema(connection)
            found = self._schema_version(connection)
            if found:
                self._lock_guard(connection, exclusive=True)
            for number, step in enumerate(self.migrations[found:], found + 1):
                step(connection)
                connection.execute(update(schema.guard).values(schema_version=number))
            self._check_release(connection, max(found, len(self.migrations)))
            self._check_columns(connection)

        self._transaction(upgrade)

    def _check_schema(self, connection: Connection) -> None:
        if self._ready:
            return
        found = self._schema_version(connection)
        if found == 0:
            raise NotConfigured(f"{self._url} holds no keysvc system yet")
        self._check_release(connection, found)
        self._check_columns(connection)
        self._ready = True

    def _schema_version(self, connection: Connection) -> int:
        """How many steps were applied. The guard row is the last thing that the first of them makes."""
        if not self._has_tables(connection):
            return 0
        rows = connection.scalars(select(schema.guard.c.schema_version)).all()
        if not rows and connection.scalar(select(~exists().select_from(schema.system))):
            return 0
        found: object = rows[0] if rows else None
        if not isinstance(found, int) or found < 1:
            raise self._damaged("its schema version cannot be read")
        return found

    def _oldest_reader(self, connection: Connection, found: int) -> int:
        """The lowest schema number whose releases may open the schema `found`. Release 0.1 opens its own alone."""
        if found < OLDEST_READER_SINCE:
            return found
        oldest: object = connection.scalar(select(schema.guard.c.oldest_reader))
        if not isinstance(oldest, int):
            raise self._damaged("which releases may open it cannot be read")
        return oldest

    def _check_release(self, connection: Connection, found: int) -> None:
        own = len(self.migrations)
        if found < own:
            raise SchemaMismatch(
                f"{self._url} has schema {found}, this keysvc needs schema {own}",
                hint="start `keysvc serve` of this release on the master secret server: it upgrades the mapping store",
            )
        if found > own and (oldest := self._oldest_reader(connection, found)) > own:
            raise SchemaMismatch(
                f"{self._url} has schema {found}, nothing below schema {oldest} may open it; this keysvc knows {own}",
                hint="install here the release of keysvc that the master secret server has",
            )

    def _check_columns(self, connection: Connection) -> None:
        """Compare the tables that are there with those of this release. A newer schema only adds to them."""
        found = self._columns(connection)
        for table in schema.metadata.sorted_tables:
            there, names = found.get(table.name, {}), [str(column.name) for column in table.c]
            missing = [name for name in names if name not in there]
            unknown = [name for name, needed in there.items() if needed and name not in names]
            if missing or unknown:
                what = f"no column {missing[0]!r}" if missing else f"a column {unknown[0]!r} that it does not know"
                raise self._changed(
                    f"the table {table.name} has {what}" if there else f"there is no table {table.name}"
                )

    def _columns(self, connection: Connection) -> abc.Mapping[str, abc.Mapping[str, bool]]:
        """The columns of each table, and whether a new row must give a value for it. Asked once for each store that is
        opened: override it where one statement can tell."""
        found = inspect(connection).get_multi_columns(filter_names=list(schema.metadata.tables))
        return {
            table: {column["name"]: not column["nullable"] and column["default"] is None for column in columns}
            for (_, table), columns in found.items()
        }

    def _changed(self, reason: str) -> SchemaMismatch:
        return SchemaMismatch(
            f"{self._url} does not have the tables of schema {len(self.migrations)}: {reason}",
            hint="something other than keysvc, or an unreleased keysvc, changed the tables: undo that change",
        )
