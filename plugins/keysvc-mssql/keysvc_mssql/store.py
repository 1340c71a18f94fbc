"""`SQLServerMappingStore`: what SQL Server does its own way.

Connections are in autocommit, and each transaction that writes is begun and ended by a statement of its own: so there
is never a ROLLBACK without a transaction, and reads cost one round trip.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar

from sqlalchemy import Connection, QueuePool, create_engine, event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError

from keysvc.plugin import Reencrypt
from keysvc.stores import schema, sql_changes
from keysvc.stores.sql import SQLMappingStore, Undone
from keysvc.stores.sql_rows import GuardRow
from keysvc_mssql.connecting import Server, options_of

LOCK_MILLISECONDS = 10_000
OLDEST = (13, 0)  # SQL Server 2016

# Shared and exclusive locks by name, because a server that reads snapshots gives no such lock on a row: a reader under
# READ COMMITTED SNAPSHOT does not wait, and other makers' servers ignore the hints that would make it wait.
# NOCOUNT, so that the SELECT is the first result; off again, as the number of rows tells whether a swap succeeded.
LOCK = """
SET NOCOUNT ON;
DECLARE @result int;
EXEC @result = sp_getapplock @Resource = N'keysvc {what}', @LockMode = N'{mode}', @LockOwner = N'Transaction',
     @LockTimeout = {milliseconds};
SET NOCOUNT OFF;
SELECT @result AS result;
"""

UNDONE = (
    "40001",
    "Serialization failure",
    "deadlock victim",
    "Lock request time out",
    "Snapshot isolation",
)
"""How a deadlock (1205), a lock time-out (1222) and an update conflict (3960) are told by the two packages."""


LOST = ("IMC06", "connection is broken", "kill state")

for _table in schema.metadata.tables.values():  # here, because it loads SQLAlchemy's dialect of SQL Server
    if schema.LONG in _table.primary_key.info:
        _table.primary_key.dialect_options["mssql"]["clustered"] = False


def reencrypt(connection: Connection, batch: Reencrypt) -> None:
    """Row by row: for a batch mssql-python takes the type of a column from its longest value, and sends the others
    through a code page when that one is ASCII."""
    for row in batch.credentials:
        sql_changes.reencrypt(connection, Reencrypt([row]))


class SQLServerMappingStore(SQLMappingStore):
    """A mapping store in a database of SQL Server. Opens no connection before it is used."""

    changes: ClassVar = MappingProxyType({**SQLMappingStore.changes, Reencrypt: reencrypt})

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
            **options_of(server.dialect),
        )
        _accept_other_makers(engine)
        event.listen(engine, "connect", _prepare_session)
        event.listen(engine, "handle_error", _tell_lost_connections)
        super().__init__(engine, url=url)

    def _begin(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN TRANSACTION")

    def _commit(self, connection: Connection) -> None:
        connection.exec_driver_sql("COMMIT TRANSACTION")

    def _roll_back(self, connection: Connection) -> None:
        if not connection.invalidated:
            connection.exec_driver_sql("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")

    def _now(self, connection: Connection) -> datetime:
        now: datetime = connection.exec_driver_sql("SELECT SYSUTCDATETIME()").scalar_one()
        return now.replace(tzinfo=UTC)

    def _has_tables(self, connection: Connection) -> bool:
        return connection.exec_driver_sql("SELECT OBJECT_ID(N'guard', N'U')").scalar() is not None

    def _lock_schema(self, connection: Connection) -> None:
        self._lock(connection, "schema", exclusive=True)

    def _lock_guard(self, connection: Connection, *, exclusive: bool) -> GuardRow:
        self._lock(connection, "guard", exclusive=exclusive)
        return self._read_guard(connection)

    def _lock(self, connection: Connection, what: str, *, exclusive: bool) -> None:
        mode = "Exclusive" if exclusive else "Shared"
        batch = LOCK.format(what=what, mode=mode, milliseconds=LOCK_MILLISECONDS)
        result = connection.exec_driver_sql(batch).scalar_one()
        if result < 0:
            raise Undone(f"{self._url}: the lock of the {what} was not to be had: {result}")

    def _is_undone(self, error: DBAPIError) -> bool:
        told = f"{getattr(error.orig, 'driver_error', '')} {error.orig}"
        return any(sign in told for sign in UNDONE)


def _prepare_session(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET LOCK_TIMEOUT {LOCK_MILLISECONDS}")
    with contextlib.suppress(
        Exception
    ):  # UNDONE knows errors by their English words; another maker's may know no other
        cursor.execute("SET LANGUAGE us_english")
    cursor.close()


def _tell_lost_connections(context: ExceptionContext) -> None:
    """SQLAlchemy does not know these: a connection that could not be restored, and one that was killed."""
    if any(sign in str(context.original_exception) for sign in LOST):
        context.is_disconnect = True


def _accept_other_makers(engine: Engine) -> None:
    """SQLAlchemy reads the version out of Microsoft's own greeting, and stumbles where there is another one."""
    dialect: Any = engine.dialect
    ask = dialect._get_server_version_info
    dialect._get_server_version_info = lambda connection: ask(connection) or OLDEST
