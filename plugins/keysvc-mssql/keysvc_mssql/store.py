"""`SQLServerMappingStore`: what SQL Server does its own way.

Connections are in autocommit, and each transaction that writes is begun and ended by a statement of its own: so there
is never a ROLLBACK without a transaction, and reads cost one round trip. A commit is four of them, however many rows it
has: the lock and the guard row, the changes with the lock of the audit's head, the audit, the end.
"""

from __future__ import annotations

from collections import abc
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Connection, Integer, QueuePool, Row, column, create_engine, event, text
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from keysvc.plugin import AuditTrail, ConfigurationError, KeysvcError, MappingStoreUnavailable
from keysvc.plugin.logs import get_logger
from keysvc.stores import schema, sql_audit
from keysvc.stores.batches import Action, Batch
from keysvc.stores.sql import SQLMappingStore, Undone
from keysvc.stores.sql_database import GUARD_COLUMNS
from keysvc.stores.sql_rows import GuardRow, read
from keysvc_mssql import rows, types, wire
from keysvc_mssql.connecting import Server
from keysvc_mssql.refusals import Refusal, is_unavailable, refusal

LOCK_MILLISECONDS = 10_000
OLDEST = (13, 0)  # SQL Server 2016

# Shared and exclusive locks by name, because a server that reads snapshots gives no such lock on a row: a reader under
# READ COMMITTED SNAPSHOT does not wait, and other makers' servers ignore the hints that would make it wait.
# NOCOUNT, so that the SELECT is the first result; off again, as the number of rows tells whether a swap succeeded.
LOCK = """
IF @@TRANCOUNT = 0 BEGIN TRANSACTION;
SET NOCOUNT ON;
DECLARE @result int;
EXEC @result = sp_getapplock @Resource = N'keysvc {what}', @LockMode = N'{mode}', @LockOwner = N'Transaction',
     @LockTimeout = {milliseconds};
SET NOCOUNT OFF;
SELECT @result AS result{also};
"""

_CHECK_VALUE = (
    ", (SELECT v.[check_value] FROM versions AS v WHERE v.[version] = g.[active_version]) AS [active_check_value]"
)
_SETTINGS = ", (SELECT TOP 1 s.[settings] FROM [system] AS s) AS [settings]"
_GUARD = (
    "".join(f", g.[{column.name}]" for column in GUARD_COLUMNS)
    + _CHECK_VALUE
    + _SETTINGS
    + " FROM (SELECT 1 AS one) AS o LEFT JOIN guard AS g ON g.[id] = o.[one]"
)
_GUARD_ROW = (
    *GUARD_COLUMNS,
    column("active_check_value", schema.versions.c.check_value.type),
    column("settings", schema.system.c.settings.type),
)
_LOCK_HEAD = "UPDATE audit_heads SET [sequence] = [sequence] WHERE [trail] = ?"
_SNAPSHOTS = "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE database_id = DB_ID()"

_COLUMNS = (
    "SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE, COLUMN_DEFAULT FROM INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA = SCHEMA_NAME()"
)

log = get_logger("keysvc.mapping-store")


class SQLServerMappingStore(SQLMappingStore):
    """A mapping store in a database of SQL Server. Opens no connection before it is used."""

    def __init__(self, server: Server, url: str) -> None:
        """`url` is what is shown of it."""
        engine = create_engine(
            f"{server.dialect}://",
            creator=server.connect,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=24,
            pool_use_lifo=True,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            deprecate_large_types=True,
            paramstyle="qmark",
        )
        _accept_other_makers(engine)
        event.listen(engine, "connect", _prepare_session)
        event.listen(engine, "handle_error", _close_what_is_elsewhere)
        super().__init__(engine, url=url)
        self._server = server
        self._source: rows.Source | None = None

    def prepare(self) -> None:
        """Refuses a database whose readers would wait for writers. Where the server does not say, that is logged."""

        def snapshots() -> object:
            with self._engine.connect() as connection:
                try:
                    return connection.exec_driver_sql(_SNAPSHOTS).scalar()
                except DBAPIError as error:
                    if is_unavailable(error):
                        raise
                    return None  # another maker's server may lack the view or its column

        reads_snapshots = self._repeated(snapshots)
        if reads_snapshots is None:
            log.warning("the database does not say whether it has READ_COMMITTED_SNAPSHOT on", url=self._url)
        elif not reads_snapshots:
            raise ConfigurationError(
                f"{self._url}: the database has READ_COMMITTED_SNAPSHOT off",
                hint="ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE",
            )
        super().prepare()

    def _begin(self, connection: Connection) -> None:
        """The first lock begins the transaction, in its round trip."""
        _wire(connection).discard()

    def _commit(self, connection: Connection) -> None:
        connection.exec_driver_sql("COMMIT TRANSACTION")

    def _roll_back(self, connection: Connection) -> None:
        if not connection.invalidated:
            _wire(connection).discard()
            connection.exec_driver_sql("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")

    def _now(self, connection: Connection) -> datetime:
        now: datetime = connection.exec_driver_sql("SELECT SYSUTCDATETIME()").scalar_one()
        return now.replace(tzinfo=UTC)

    def _has_tables(self, connection: Connection) -> bool:
        return connection.exec_driver_sql("SELECT OBJECT_ID(N'guard', N'U')").scalar() is not None

    def _check_schema(self, connection: Connection) -> None:
        super()._check_schema(connection)
        if self._source is None:
            self._source = rows.Source(connection.dialect, _json_of(connection))

    def _columns(self, connection: Connection) -> abc.Mapping[str, abc.Mapping[str, bool]]:
        found: dict[str, dict[str, bool]] = {}
        for table, name, nullable, default in connection.exec_driver_sql(_COLUMNS):
            found.setdefault(table, {})[name] = nullable == "NO" and default is None
        return found

    def _lock_schema(self, connection: Connection) -> None:
        self._lock(connection, "schema", exclusive=True)

    def _lock_guard(self, connection: Connection, *, exclusive: bool) -> GuardRow:
        found = self._lock(connection, "guard", _GUARD, exclusive=exclusive)
        if found.schema_version is None:
            raise self._damaged("the table guard is empty")
        return read(GuardRow, schema.guard, [found])[0]

    def _lock(self, connection: Connection, what: str, also: str = "", *, exclusive: bool) -> Row[Any]:
        """`also` is what is read after the lock, in the same round trip."""
        mode = "Exclusive" if exclusive else "Shared"
        batch = text(LOCK.format(what=what, mode=mode, milliseconds=LOCK_MILLISECONDS, also=also))
        row = connection.execute(batch.columns(column("result", Integer), *_GUARD_ROW) if also else batch).one()
        if row.result < 0:
            raise Undone(f"{self._url}: the lock of the {what} was not to be had: {row.result}")
        return row

    def _lock_head(self, connection: Connection, trail: AuditTrail) -> Row[Any] | None:
        """By an update, which every maker's server locks for: some ignore hints. One round trip, with what waits."""
        size = types.declared(schema.audit_heads.c.trail.type, connection.dialect).size
        _put_off(connection, wire.Statement(_LOCK_HEAD, (str(trail),), (size,)))
        return connection.execute(sql_audit.head(trail)).first()

    def _takes(self, batch: Batch) -> bool:
        """Single rows too, so that they go along with others; but the highest revision of a row that is deleted is read
        without a look at all of them."""
        return batch.action is not Action.DELETE or len(batch.rows) > 1

    def _write_batch(self, connection: Connection, batch: Batch) -> bool:
        """Its statements go with the next one that has an answer; the server refuses what does not fit."""
        assert self._source is not None, "the schema was checked before"  # noqa: S101
        for statement in self._source.statements(batch):
            _put_off(connection, statement)
        return True

    def _finish_batches(self, connection: Connection) -> None:
        connection.exec_driver_sql(wire.SEND)

    def _is_undone(self, error: DBAPIError) -> bool:
        return refusal(error.orig) is Refusal.UNDONE

    def _translate(self, error: SQLAlchemyError) -> KeysvcError:
        if not isinstance(error, DBAPIError) or not is_unavailable(error):
            return super()._translate(error)
        reason = (str(error.orig).splitlines() or [type(error).__name__])[0]
        return MappingStoreUnavailable(f"{self._url}: {reason}", hint=self._server.hint(error))


def _wire(connection: Connection) -> wire.Connection:
    found: Any = connection.connection.dbapi_connection  # of the engine's creator
    return cast(wire.Connection, found)


def _put_off(connection: Connection, statement: wire.Statement) -> None:
    if not _wire(connection).has_room(len(statement.parameters)):
        connection.exec_driver_sql(wire.SEND)
    _wire(connection).defer(statement)


def _json_of(connection: Connection) -> rows.Json:
    """Asked once, and outside a transaction: a server may undo one after an error."""
    return next((what for what in rows.PROBED if _reads(connection, what)), rows.Json.NONE)


def _reads(connection: Connection, what: rows.Json) -> bool:
    query, parameter = rows.probe(connection.dialect, what)
    try:
        return rows.is_exact(connection.exec_driver_sql(query, (parameter,)).all(), what)
    except DBAPIError as error:
        if error.connection_invalidated or refusal(error.orig) is not None:
            raise
        return False


def _prepare_session(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET LOCK_TIMEOUT {LOCK_MILLISECONDS}")
    cursor.close()


def _close_what_is_elsewhere(context: ExceptionContext) -> None:
    """SQLAlchemy then empties the pool: what it holds is connected to the same server."""
    if refusal(context.original_exception) is Refusal.ELSEWHERE:
        context.is_disconnect = True


def _accept_other_makers(engine: Engine) -> None:
    """SQLAlchemy reads the version out of Microsoft's own greeting, and stumbles where there is another one."""
    dialect: Any = engine.dialect
    ask = dialect._get_server_version_info
    dialect._get_server_version_info = lambda connection: ask(connection) or OLDEST
