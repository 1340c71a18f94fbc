"""`SQLiteMappingStore`: one file in WAL mode, one writer at a time, every commit on the disk before it returns."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections import abc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, QueuePool, create_engine, event
from sqlalchemy.exc import InvalidatePoolError, OperationalError, SQLAlchemyError, StatementError

from keysvc.errors import KeysvcError, MappingStoreUnavailable, NotConfigured
from keysvc.model import Application, CredentialKey, EncryptedCredential
from keysvc.plugin.interfaces import LookedUp
from keysvc.plugin.logs import get_logger
from keysvc.plugin.safe_files import create_durably
from keysvc.stores.batches import Action, Batch
from keysvc.stores.sql import SQLMappingStore
from keysvc.stores.sql_rows import GuardRow
from keysvc.stores.sqlite import DEFAULT_TIMEOUT_SECONDS
from keysvc.stores.sqlite_reads import DirectReads, File, FileConnection

log = get_logger("keysvc.sqlite")
_DAMAGE = (
    "not a database",
    "malformed",
    "could not decode",
    "unsupported file format",
)
_OTHER_TABLES = ("no such table", "no such column", "has no column named")
_COLUMNS = """
    SELECT t.name, c.name, c."notnull" AND c.dflt_value IS NULL FROM sqlite_master t, pragma_table_info(t.name) c
    WHERE t.type = 'table'
"""
_PRAGMAS = ("foreign_keys = ON", "synchronous = FULL", "trusted_schema = OFF", "cell_size_check = ON")
_ASK_AGAIN_SECONDS = (0.0005, 0.003)
_REENCRYPT = """
    UPDATE credentials SET version = :version, ciphertext = :ciphertext, revision = revision + 1
    WHERE application = :application AND user = :user AND revision = :revision
"""


def _is_busy(error: OperationalError) -> bool:
    return isinstance(error.orig, sqlite3.Error) and error.orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


class SQLiteMappingStore(SQLMappingStore):
    """A mapping store in the file `path`, in memory when that is None. Only `prepare` creates the file (0600)."""

    def __init__(self, path: Path | None, *, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self._path = path
        self._timeout = timeout
        # one connection is the whole database in memory: callers take turns, as writers do on a file
        sizes = {"pool_size": 8, "max_overflow": 24} if path else {"pool_size": 1, "max_overflow": 0}
        engine = create_engine("sqlite://", creator=self._connect, poolclass=QueuePool, hide_parameters=True, **sizes)
        super().__init__(engine, url=f"sqlite:///{path}" if path else "sqlite://")
        self._was_open = False
        self._direct_reads = None
        if path:
            self._direct_reads = DirectReads(self._connect, self._file)
            event.listen(engine, "checkout", self._compare_file)

    @property
    def _direct(self) -> DirectReads | None:
        """Of a file whose schema was looked at."""
        return self._direct_reads if self._ready else None

    def application(self, name: str) -> Application | None:
        """By exact name."""
        known = direct.application(name) if (direct := self._direct) else None
        return known if known is not None else super().application(name)

    def look_up(self, application: str, user: str) -> LookedUp | None:
        """By one join."""
        known = direct.look_up(application, user) if (direct := self._direct) else None
        return known if known is not None else super().look_up(application, user)

    def credentials(
        self, *, after: CredentialKey | None = None, limit: int = 500, under: int | None = None
    ) -> abc.Sequence[EncryptedCredential]:
        """A page by key."""
        direct = self._direct
        known = direct.credentials(after, limit, under) if direct and under is not None else None
        return known if known is not None else super().credentials(after=after, limit=limit, under=under)

    def close(self) -> None:
        """Every connection."""
        if self._direct_reads is not None:
            self._direct_reads.close()
        super().close()

    def prepare(self) -> None:
        """Creates the file where there is none."""
        if self._path is not None:
            try:
                if not os.path.lexists(self._path):
                    create_durably(self._path, b"")
            except FileExistsError:
                pass
            except OSError as error:
                raise MappingStoreUnavailable(f"{self._url}: {error.strerror or type(error).__name__}") from None
            self._use_wal()
        super().prepare()

    def _use_wal(self) -> None:
        """SQLite does not wait by itself for a writer before it changes the journal."""
        with self._errors(), self._engine.connect() as connection:
            if self._when_free(connection, "PRAGMA journal_mode").scalar() != "wal":
                self._when_free(connection, "PRAGMA journal_mode = WAL")

    def _when_free(self, connection: Connection, statement: str) -> CursorResult[Any]:
        """Asks until the time-out. All who wait ask equally often; SQLite's own waiting asks the less often the longer
        it waits, so that under load the last to come was served first, and the lease was not renewed."""
        give_up = time.monotonic() + self._timeout
        while True:
            try:
                return connection.exec_driver_sql(statement)
            except OperationalError as error:
                if not _is_busy(error) or time.monotonic() > give_up:
                    raise
            time.sleep(random.uniform(*_ASK_AGAIN_SECONDS))  # noqa: S311  no secret

    def _file(self) -> File | None:
        """The file that is at the path now; None where there is none."""
        try:
            found = os.stat(self._path or "")
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _compare_file(self, connection: FileConnection, _entry: object, _proxy: object) -> None:
        """A connection sees the file that it opened, also when that was unlinked or another one took its place."""
        if connection.file != self._file():
            log.warning("the database file was replaced or removed while it was open", path=str(self._path))
            self._ready = False
            raise InvalidatePoolError

    def _commit(self, connection: Connection) -> None:
        super()._commit(connection)
        opened = connection.connection.driver_connection
        if self._path is not None and isinstance(opened, FileConnection) and opened.file != self._file():
            raise MappingStoreUnavailable(
                f"{self._url}: the file was replaced or removed while a change was being committed",
                hint="the change may be lost: look, and repeat it if it was",
            )

    def _connect(self) -> FileConnection:
        target, file = ":memory:", self._file()
        if self._path is not None:
            with contextlib.suppress(PermissionError, NotADirectoryError):
                self._check_exists(self._path)
            target = f"{self._path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            target,
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=FileConnection,
        )
        connection.file = file
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        self._was_open = True
        return connection

    def _check_exists(self, path: Path) -> None:
        try:
            path.stat()
        except FileNotFoundError:
            if self._was_open:
                raise MappingStoreUnavailable(
                    f"{self._url}: the file was removed while it was open",
                    hint="put it back, or restore it from a backup: nothing needs to be restarted",
                ) from None
            raise NotConfigured(f"{self._url} does not exist yet") from None

    def _begin(self, connection: Connection) -> None:
        """As a writer at once: what began as a read could not become one while another writes."""
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")
        try:
            self._when_free(connection, "BEGIN IMMEDIATE")
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(1000 * self._timeout)}")

    def _lock_guard(self, connection: Connection, *, exclusive: bool) -> GuardRow:  # noqa: ARG002
        return self._read_guard(connection)

    def _write_batch(self, connection: Connection, batch: Batch) -> bool:
        """A re-encryption without what SQLAlchemy does to each parameter of each row: it took longer than the rest."""
        if batch.action is not Action.REENCRYPT:
            return super()._write_batch(connection, batch)
        connection.exec_driver_sql(_REENCRYPT, list(batch.rows))
        return True

    def _now(self, connection: Connection) -> datetime:
        shown: str = connection.exec_driver_sql("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')").scalar_one()
        return datetime.fromisoformat(shown).replace(tzinfo=UTC)

    def _columns(self, connection: Connection) -> abc.Mapping[str, abc.Mapping[str, bool]]:
        found: dict[str, dict[str, bool]] = {}
        for table, column, needed in connection.exec_driver_sql(_COLUMNS):
            found.setdefault(table, {})[column] = bool(needed)
        return found

    def _translate(self, error: SQLAlchemyError) -> KeysvcError:
        origin = error.orig if isinstance(error, StatementError) else None
        reason = str(origin).lower()
        if isinstance(origin, sqlite3.Error) and any(sign in reason for sign in _OTHER_TABLES):
            return self._changed(str(origin).splitlines()[0])
        if isinstance(origin, sqlite3.Error) and any(sign in reason for sign in _DAMAGE):
            return self._damaged(str(origin).splitlines()[0])
        return super()._translate(error)
