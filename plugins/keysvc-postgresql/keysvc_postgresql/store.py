"""`PostgreSQLMappingStore`: what PostgreSQL does its own way."""

from __future__ import annotations

import ipaddress
import itertools
import operator
from collections import abc
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import conninfo
from sqlalchemy import Connection, QueuePool, create_engine, text
from sqlalchemy.exc import DBAPIError

from keysvc.plugin import ConfigurationError, Location, Reencrypt, SecretText
from keysvc.stores.sql import SQLMappingStore
from keysvc.stores.sql_rows import GuardRow
from keysvc_postgresql import sessions

UNDONE = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs of a serialization failure, a deadlock, and a lock that was not to be had in time."""

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


_kind = operator.attrgetter("application", "version")
_REENCRYPT = """
    UPDATE credentials SET version = %b, ciphertext = new.ciphertext, revision = credentials.revision + 1
    FROM unnest(%b::text[], %b::bigint[], %b::bytea[]) AS new ("user", revision, ciphertext)
    WHERE credentials.application = %b AND credentials."user" = new."user" AND credentials.revision = new.revision
"""


def reencrypt(connection: Connection, batch: Reencrypt) -> None:
    """One statement for each application and version: rows that changed match nothing. In binary (`%b`): as text, each
    element would be quoted here and parsed there, which takes longer than the update."""
    for (application, version), alike in itertools.groupby(batch.credentials, _kind):
        rows = list(alike)
        users, revisions = [row.user for row in rows], [row.revision for row in rows]
        ciphertexts = [row.ciphertext for row in rows]
        connection.exec_driver_sql(_REENCRYPT, (version, users, revisions, ciphertexts, application))


class PostgreSQLMappingStore(SQLMappingStore):
    """A mapping store in the PostgreSQL database that a libpq URI names. Opens no connection before it is used."""

    changes: ClassVar = MappingProxyType({**SQLMappingStore.changes, Reencrypt: reencrypt})

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
        super().__init__(
            engine, url=str(Location.parse(uri)), reading=engine.execution_options(isolation_level="AUTOCOMMIT")
        )

    def _begin(self, connection: Connection) -> None:
        sessions.begin(connection)

    def _now(self, connection: Connection) -> datetime:
        now: datetime = connection.scalar(text("SELECT clock_timestamp()"))
        return now.astimezone(UTC)

    def _lock_schema(self, connection: Connection) -> None:
        self._lock(connection, SCHEMA, exclusive=True)

    def _lock_guard(self, connection: Connection, *, exclusive: bool) -> GuardRow:
        # not FOR SHARE and FOR UPDATE: those who share a row overtake the one who waits to have it alone
        self._lock(connection, GUARD, exclusive=exclusive)
        return self._read_guard(connection)

    def _lock(self, connection: Connection, what: int, *, exclusive: bool) -> None:
        mode = "" if exclusive else "_shared"
        connection.execute(text(f"SELECT pg_advisory_xact_lock{mode}(:locks, :what)"), {"locks": LOCKS, "what": what})

    def _is_undone(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in UNDONE


def connection_parameters(uri: str) -> dict[str, Any]:
    """What libpq is given for a URI: with time-outs and encryption that keysvc can rely on."""
    parts = urlsplit(uri)
    query = "&".join(pair for pair in parts.query.split("&") if not pair.startswith("password-source="))
    try:
        given = conninfo.conninfo_to_dict(urlunsplit((*parts[:3], query, "")))
    except psycopg.Error:
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
