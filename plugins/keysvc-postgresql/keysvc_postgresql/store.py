"""`PostgreSQLMappingStore`: what PostgreSQL does its own way."""

from __future__ import annotations

import ipaddress
import itertools
import operator
from collections import abc
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import conninfo
from sqlalchemy import Connection, QueuePool, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from keysvc.plugin import ConfigurationError, Location, SecretText
from keysvc.stores import schema
from keysvc.stores.batches import Action, Batch
from keysvc.stores.sql import SQLMappingStore
from keysvc.stores.sql_rows import GuardRow
from keysvc_postgresql import sessions

UNDONE = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs of a serialization failure, a deadlock, and a lock that was not to be had in time."""

ELSEWHERE = frozenset({"25006", "57P01", "57P02", "57P03", "57P04", "57P05", "08"})
"""SQLSTATEs, and a class of them, of a server that was made a standby, ends, starts, or has lost a connection. The
pool is emptied: its other connections are to the same server."""

LOCKS = 0x6B657973  # "keys", in the space of advisory locks
SCHEMA, GUARD = 1, 2

CONNECTION = {
    "application_name": "keysvc",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}


_kind = operator.itemgetter("application", "version")
_REENCRYPT = """
    UPDATE credentials SET version = %b, ciphertext = new.ciphertext, revision = credentials.revision + 1
    FROM unnest(%b::text[], %b::bigint[], %b::bytea[]) AS new ("user", revision, ciphertext)
    WHERE credentials.application = %b AND credentials."user" = new."user" AND credentials.revision = new.revision
"""


_COLUMNS = """
    SELECT t.relname, c.attname, c.attnotnull AND NOT c.atthasdef
    FROM pg_attribute c JOIN pg_class t ON t.oid = c.attrelid
    WHERE t.oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) name) AND c.attnum > 0 AND NOT c.attisdropped
"""


class PostgreSQLMappingStore(SQLMappingStore):
    """A mapping store in the PostgreSQL database that a libpq URI names. Opens no connection before it is used."""

    def __init__(self, uri: str, password: SecretText | None = None) -> None:
        """Raises ConfigurationError for a URI that libpq does not understand."""
        parameters = connection_parameters(uri)
        if password is not None:
            parameters["password"] = password.reveal()
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: sessions.connect(parameters),
            isolation_level="READ COMMITTED",
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=24,
            pool_use_lifo=True,
        )
        event.listen(engine, "handle_error", _close_what_is_elsewhere)
        super().__init__(
            engine, url=str(Location.parse(uri)), reading=engine.execution_options(isolation_level="AUTOCOMMIT")
        )

    def _begin(self, connection: Connection) -> None:
        sessions.begin(connection)

    def _now(self, connection: Connection) -> datetime:
        now: datetime = connection.scalar(text("SELECT clock_timestamp()"))
        return now.astimezone(UTC)

    def _columns(self, connection: Connection) -> abc.Mapping[str, abc.Mapping[str, bool]]:
        found: dict[str, dict[str, bool]] = {}
        tables = list(schema.metadata.tables)
        for table, column, needed in connection.exec_driver_sql(_COLUMNS, (tables,)):
            found.setdefault(table, {})[column] = needed
        return found

    def _lock_schema(self, connection: Connection) -> None:
        self._lock(connection, SCHEMA, exclusive=True)

    def _lock_guard(self, connection: Connection, *, exclusive: bool) -> GuardRow:
        # not FOR SHARE and FOR UPDATE: those who share a row overtake the one who waits to have it alone
        self._lock(connection, GUARD, exclusive=exclusive)
        return self._read_guard(connection)

    def _lock(self, connection: Connection, what: int, *, exclusive: bool) -> None:
        mode = "" if exclusive else "_shared"
        connection.execute(text(f"SELECT pg_advisory_xact_lock{mode}(:locks, :what)"), {"locks": LOCKS, "what": what})

    def _write_batch(self, connection: Connection, batch: Batch) -> bool:
        """A re-encryption is one statement for each application and version. In binary (`%b`): as text, each element
        would be quoted here and parsed there, which takes longer than the update."""
        if batch.action is not Action.REENCRYPT:
            return super()._write_batch(connection, batch)
        for (application, version), alike in itertools.groupby(batch.rows, _kind):
            rows = [(row["user"], row["revision"], row["ciphertext"]) for row in alike]
            users, revisions, ciphertexts = (list(column) for column in zip(*rows, strict=True))
            connection.exec_driver_sql(_REENCRYPT, (version, users, revisions, ciphertexts, application))
        return True

    def _is_undone(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in UNDONE


def _close_what_is_elsewhere(context: ExceptionContext) -> None:
    state = getattr(context.original_exception, "sqlstate", None) or ""
    if state in ELSEWHERE or state[:2] in ELSEWHERE:
        context.is_disconnect = True


def connection_parameters(uri: str) -> dict[str, Any]:
    """What libpq is given for a URI: with time-outs and encryption that keysvc can rely on."""
    parts = urlsplit(uri)
    query = "&".join(pair for pair in parts.query.split("&") if not pair.startswith("password-source="))
    try:
        given = conninfo.conninfo_to_dict(urlunsplit((*parts[:3], query, "")))
    except (psycopg.Error, UnicodeError):
        raise ConfigurationError(
            f"libpq does not understand {Location.parse(uri)}", hint="write postgresql://USER@HOST/DATABASE"
        ) from None
    encrypted = {} if _is_local(given) or "service" in given else {"sslmode": "verify-full", "sslrootcert": "system"}
    if "sslrootcert" in given or "sslmode" in given:
        encrypted.pop("sslrootcert", None)
    return {**CONNECTION, **encrypted, **given}


def _is_local(given: abc.Mapping[str, Any]) -> bool:
    hosts = str(given.get("hostaddr") or given.get("host") or "").split(",")
    return all(host in {"", "localhost"} or host.startswith(("/", "@")) or _is_loopback(host) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
