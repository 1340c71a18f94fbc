"""What this database does its own way; the rest is in `keysvc.stores.sql`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from keysvc.stores.sql import SQLMappingStore
from keysvc.stores.sql_rows import GuardRow
from sqlalchemy import Connection, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError

BUSY_SECONDS = 20
SESSION = "PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"


class ExampleMappingStore(SQLMappingStore):
    """An SQLite file. For another database, change the engine, and what the methods below do."""

    def __init__(self, path: Path) -> None:
        engine = create_engine(
            f"sqlite:///{path}",
            connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},  # keysvc begins and ends by itself
            poolclass=QueuePool,
        )
        event.listen(engine, "connect", lambda connection, _: connection.executescript(SESSION))
        super().__init__(engine, url=f"example://{path}")

    def _now(self, connection: Connection) -> datetime:
        shown: str = connection.exec_driver_sql("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')").scalar_one()
        return datetime.fromisoformat(shown).replace(tzinfo=UTC)

    def _begin(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # one writer at a time, and no reader becomes one

    def _lock_guard(self, connection: Connection, *, exclusive: bool) -> GuardRow:
        return self._read_guard(connection)  # `_begin` has locked everything

    def _is_undone(self, error: DBAPIError) -> bool:
        return "locked" in str(error.orig)  # nothing was written: keysvc repeats it
