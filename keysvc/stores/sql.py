"""A mapping store over any SQL database that SQLAlchemy speaks.

A store for another database subclasses `SQLMappingStore` and says how that database tells the time, begins to write,
locks the guard row and reports its errors; the rest is here. This module and `keysvc.stores.schema` are public: SQL
plugins build on them.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections import abc
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, bindparam, func, inspect, select, update
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError, StatementError

from keysvc.errors import (
    Conflict,
    Fenced,
    InvalidInput,
    KeysvcError,
    MappingStoreError,
    MappingStoreUnavailable,
    NotConfigured,
    SchemaMismatch,
    StaleVersion,
)
from keysvc.interfaces import Change, MappingStoreInfo, PutVersion
from keysvc.model import (
    Application,
    AuditEntry,
    BackupRecord,
    CredentialKey,
    EncryptedCredential,
    Enrolment,
    Event,
    Guard,
    Identity,
    Lease,
    Mapping,
    Server,
    SystemRecord,
    VersionRecord,
)
from keysvc.stores import schema, sql_changes
from keysvc.stores.sql_rows import GuardRow, read

Value = TypeVar("Value")

_mapping = select(schema.mappings).where(
    schema.mappings.c.application == bindparam("application"), schema.mappings.c.user == bindparam("user")
)
_credential = select(schema.credentials).where(
    schema.credentials.c.application == bindparam("application"), schema.credentials.c.user == bindparam("user")
)


_guard_row = select(
    *(column for column in schema.guard.c if column.name not in {"id", "first_revision"}),
    select(schema.schema_version.c.version).scalar_subquery().label("schema_version"),
)


class SQLMappingStore(ABC):
    """A `keysvc.interfaces.MappingStore` over an engine. Takes the engine over: `close` disposes of it.

    A subclass gives `_now` and may override every method with one underscore, `migrations` (it appends) and `changes`
    (what applies each change). The engine runs at READ COMMITTED or better.
    """

    migrations: ClassVar[tuple[schema.Migration, ...]] = schema.MIGRATIONS
    changes: ClassVar[abc.Mapping[type, sql_changes.Apply]] = sql_changes.APPLY

    def __init__(self, engine: Engine, *, url: str | None = None) -> None:
        """`url` is what is shown of the store; by default the engine's without its password."""
        engine.hide_parameters = True
        self._engine = engine
        self._url = url or engine.url.render_as_string(hide_password=True)
        self._ready = False

    # -- what differs between databases -------------------------------------------------------------------------

    @abstractmethod
    def _now(self, connection: Connection) -> datetime:
        """The database's clock, aware UTC, at this moment: not when the transaction began."""

    def _begin(self, connection: Connection) -> None:  # noqa: B027
        """Called first in every transaction that writes. For databases that lock as a whole."""

    def _lock_schema(self, connection: Connection) -> None:  # noqa: B027
        """Let one `prepare` run at a time; called after `_begin`, perhaps on an empty database."""

    def _guard_statement(self, *, exclusive: bool) -> Select[Any]:
        """Read the guard row and keep others from changing it (`exclusive`: from reading it so) until the transaction
        ends: FOR SHARE or FOR UPDATE, on SQL Server a table hint; nothing where `_begin` locks.
        """
        hint = "WITH (UPDLOCK, HOLDLOCK)" if exclusive else "WITH (HOLDLOCK)"
        return _guard_row.with_for_update(read=not exclusive).with_hint(schema.guard, hint, "mssql")

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

    # -- life ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """One transaction from whatever is there to the newest schema."""
        with self._errors(), self._engine.begin() as connection:
            self._begin(connection)
            self._lock_schema(connection)
            found = self._schema_version(connection)
            if found > len(self.migrations):
                raise self._mismatch(found)
            for step in self.migrations[found:]:
                step(connection)
            if found < len(self.migrations):
                connection.execute(update(schema.schema_version).values(version=len(self.migrations)))

    def info(self) -> MappingStoreInfo:
        """Without the password of the URL."""
        try:
            with self._errors(), self._engine.connect() as connection:
                return MappingStoreInfo(self._url, self._schema_version(connection))
        except NotConfigured:
            return MappingStoreInfo(self._url, 0)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    # -- reads --------------------------------------------------------------------------------------------------

    def system(self) -> SystemRecord | None:
        """The one system record."""
        return self._one(SystemRecord, schema.system, select(schema.system))

    def versions(self) -> abc.Sequence[VersionRecord]:
        """Ascending."""
        return self._all(VersionRecord, schema.versions, select(schema.versions).order_by(schema.versions.c.version))

    def lease(self) -> Lease | None:
        """By the database's clock."""
        with self._reading() as connection:
            return self._read_guard(connection, _guard_row).lease(self._now(connection))

    def epoch(self) -> int:
        """The last one granted."""
        with self._reading() as connection:
            return self._read_guard(connection, _guard_row).epoch

    def backup(self) -> BackupRecord | None:
        """The newest."""
        return self._one(BackupRecord, schema.backup, select(schema.backup))

    def application(self, name: str) -> Application | None:
        """By exact name."""
        table = schema.applications
        return self._one(Application, table, select(table).where(table.c.name == name))

    def applications(self) -> abc.Sequence[Application]:
        """By name."""
        return self._all(Application, schema.applications, select(schema.applications).order_by("name"))

    def mapping(self, application: str, user: str) -> Mapping | None:
        """By exact names."""
        return self._one(Mapping, schema.mappings, _mapping, application=application, user=user)

    def mappings(self, application: str, *, after: str = "", limit: int = 500) -> abc.Sequence[Mapping]:
        """A page by user."""
        table = schema.mappings
        where = (table.c.application == application) & (table.c.user > after)
        return self._all(Mapping, table, select(table).where(where).order_by(table.c.user).limit(limit))

    def mappings_of_external_user(self, application: str, external_user: str) -> abc.Sequence[Mapping]:
        """By user."""
        table = schema.mappings
        where = (table.c.application == application) & (table.c.external_user == external_user)
        return self._all(Mapping, table, select(table).where(where).order_by(table.c.user))

    def credential(self, application: str, user: str) -> EncryptedCredential | None:
        """By exact names."""
        return self._one(EncryptedCredential, schema.credentials, _credential, application=application, user=user)

    def credentials(
        self, *, after: CredentialKey | None = None, limit: int = 500, not_under: int | None = None
    ) -> abc.Sequence[EncryptedCredential]:
        """A page by key."""
        table = schema.credentials
        page = select(table).order_by(table.c.application, table.c.user)
        if not_under is not None:
            page = page.where(table.c.version != not_under)
        if after is None:
            return self._all(EncryptedCredential, table, page.limit(limit))
        # two plain ranges: no database seeks an index well for (a, b) > (x, y) in the form that all of them know
        same = page.where(table.c.application == after.application, table.c.user > after.user)
        found = self._all(EncryptedCredential, table, same.limit(limit))
        if len(found) < limit:
            rest = page.where(table.c.application > after.application).limit(limit - len(found))
            found += self._all(EncryptedCredential, table, rest)
        return found

    def rows_by_version(self) -> dict[int, int]:
        """Counted now."""
        version = schema.credentials.c.version
        with self._reading() as connection:
            rows = connection.execute(select(version, func.count()).group_by(version).order_by(version))
            return {int(number): int(count) for number, count in rows}

    def servers(self) -> abc.Sequence[Server]:
        """By name and instance."""
        return self._all(Server, schema.servers, select(schema.servers).order_by("name", "instance"))

    def identities(self) -> abc.Sequence[Identity]:
        """By name."""
        return self._all(Identity, schema.identities, select(schema.identities).order_by("name"))

    def enrolment(self, token_hash: str) -> Enrolment | None:
        """By its hash."""
        table = schema.enrolments
        return self._one(Enrolment, table, select(table).where(table.c.token_hash == token_hash))

    def pending_events(self, limit: int) -> abc.Sequence[Event]:
        """Oldest first."""
        return self._all(Event, schema.outbox, select(schema.outbox).order_by("position").limit(limit))

    def audit(self, *, after: int = 0, limit: int = 500) -> abc.Sequence[AuditEntry]:
        """By sequence."""
        table = schema.audit
        statement = select(table).where(table.c.sequence > after).order_by(table.c.sequence).limit(limit)
        return self._all(AuditEntry, table, statement)

    # -- writes -------------------------------------------------------------------------------------------------

    def commit(self, changes: abc.Sequence[Change], guard: Guard) -> None:
        """The one way in which anything but the lease changes."""
        exclusive = any(isinstance(change, sql_changes.EXCLUSIVE) for change in changes)
        with self._writing(exclusive=exclusive) as (connection, row):
            self._check_guard(row, guard)
            for change in changes:
                apply = self.changes.get(type(change))
                if apply is None:
                    raise MappingStoreError(f"{self._url}: this store does not know {type(change).__name__}")
                apply(connection, change)
            if any(isinstance(change, PutVersion) for change in changes):
                sql_changes.name_active_version(connection)

    def grant_lease(self, holder: str, ttl: timedelta) -> Lease | None:
        """In a transaction of its own."""
        with self._writing(exclusive=True) as (connection, row):
            now = self._now(connection)
            lease = row.lease(now)
            if lease is not None and lease.holder != holder:
                return None
            return self._write_lease(connection, Lease(holder, row.epoch + 1, now + ttl), ttl)

    def renew_lease(self, lease: Lease, ttl: timedelta) -> Lease:
        """In a transaction of its own."""
        with self._writing(exclusive=True) as (connection, row):
            self._check_guard(row, Guard(epoch=lease.epoch))
            renewed = Lease(lease.holder, lease.epoch, self._now(connection) + ttl)
            return self._write_lease(connection, renewed, ttl)

    def release_lease(self, lease: Lease) -> None:
        """In a transaction of its own."""
        with self._writing(exclusive=True) as (connection, row):
            if row.epoch == lease.epoch:
                self._write_lease(connection, Lease(lease.holder, lease.epoch, self._now(connection)), timedelta(0))

    # -- inside -------------------------------------------------------------------------------------------------

    def _check_guard(self, row: GuardRow, guard: Guard) -> None:
        if guard.epoch is not None and guard.epoch != row.epoch:
            raise Fenced(f"epoch {guard.epoch} is over, epoch {row.epoch} was granted; nothing was written")
        if guard.active_version is not None and guard.active_version != row.active_version:
            raise StaleVersion(f"version {guard.active_version} is not the active one; nothing was written")

    def _write_lease(self, connection: Connection, lease: Lease, ttl: timedelta) -> Lease:
        connection.execute(
            update(schema.guard).values(
                epoch=lease.epoch,
                lease_holder=lease.holder,
                lease_expires_at=lease.expires_at,
                lease_ttl_ms=math.ceil(ttl / timedelta(milliseconds=1)),
            )
        )
        return lease

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

    @contextlib.contextmanager
    def _reading(self) -> abc.Iterator[Connection]:
        with self._errors(), self._engine.connect() as connection:
            self._check_schema(connection)
            yield connection

    @contextlib.contextmanager
    def _writing(self, *, exclusive: bool) -> abc.Iterator[tuple[Connection, GuardRow]]:
        with self._errors(), self._engine.begin() as connection:
            self._begin(connection)
            self._check_schema(connection)
            row = self._read_guard(connection, self._guard_statement(exclusive=exclusive))
            if row.schema_version != len(self.migrations):
                raise self._mismatch(row.schema_version)
            yield connection, row

    def _read_guard(self, connection: Connection, statement: Select[Any]) -> GuardRow:
        row = connection.execute(statement).first()
        if row is None:
            raise self._damaged("the table guard is empty")
        return read(GuardRow, schema.guard, row)

    def _check_schema(self, connection: Connection) -> None:
        if self._ready:
            return
        found = self._schema_version(connection)
        if found == 0:
            raise NotConfigured(f"{self._url} holds no keysvc system yet")
        if found != len(self.migrations):
            raise self._mismatch(found)
        self._ready = True

    def _schema_version(self, connection: Connection) -> int:
        if not inspect(connection).has_table(schema.schema_version.name):
            return 0
        found: object = connection.scalar(select(schema.schema_version.c.version))
        if not isinstance(found, int) or found < 1:
            raise self._damaged("its schema version cannot be read")
        return found

    def _mismatch(self, found: int) -> SchemaMismatch:
        return SchemaMismatch(f"{self._url} has schema {found}, this keysvc needs schema {len(self.migrations)}")

    def _one(self, what: type[Value], table: Table, statement: Select[Any], **parameters: str) -> Value | None:
        with self._reading() as connection:
            row = connection.execute(statement, parameters).first()
        return None if row is None else read(what, table, row)

    def _all(self, what: type[Value], table: Table, statement: Select[Any]) -> list[Value]:
        with self._reading() as connection:
            rows = connection.execute(statement).all()
        return [read(what, table, row) for row in rows]
