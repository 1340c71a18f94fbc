"""The tables of a SQL mapping store, and the steps that lead from an empty database to them.

Portable to SQLite, PostgreSQL and SQL Server. Names compare exactly, byte by byte: SQLite does so by itself (BINARY),
PostgreSQL under the collation "C", SQL Server under Latin1_General_100_BIN2. SQL Server still ignores trailing
spaces when it compares, and PostgreSQL keeps no null: no name has them, so that a system can move. Values that keysvc
never searches are JSON in text columns. What cannot be parsed is handed on as it is, so that the reader of the row can
name it.
"""

# ruff: noqa: ARG002, D102 -- the types below have the signatures of SQLAlchemy, which documents them
from __future__ import annotations

from collections import abc
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    TypeDecorator,
    Unicode,
    UnicodeText,
    insert,
)
from sqlalchemy.types import TypeEngine

from keysvc.errors import InvalidInput
from keysvc.model import AuditTrail
from keysvc.plugin.audit_chain import AuditHead

NAME_CHARACTERS = 256
MSSQL_NAME_BYTES = 850  # two of them are the longest key of an index there
LONG = "long"
"""In the `info` of a key that may have more than the 900 bytes at which a clustered index of SQL Server ends."""
_COLLATIONS = {"mssql": "Latin1_General_100_BIN2", "postgresql": "C"}


class Name(TypeDecorator[str]):
    """Text of a limited length, compared exactly. A longer one is refused, never cut."""

    impl = Unicode
    cache_ok = True

    def __init__(self, length: int = NAME_CHARACTERS) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # SQL Server counts UTF-16 units: an emoji is two of them
        length = self.length * 2 if dialect.name == "mssql" else self.length
        return dialect.type_descriptor(Unicode(length, collation=_COLLATIONS.get(dialect.name)))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if len(value) > self.length:
            raise InvalidInput(f"a name has more than {self.length} characters: {value[:40]!r}…")
        value.encode()  # half of a surrogate pair is no text, and some databases would keep it
        indexed = dialect.name == "mssql" and self.length <= NAME_CHARACTERS
        if indexed and len(value.encode("utf-16-le")) > MSSQL_NAME_BYTES:
            raise InvalidInput(f"a name is too long for an index of SQL Server: {value[:40]!r}…")
        if value.endswith(" ") or "\0" in value:
            raise InvalidInput(f"a name ends in a blank or holds a null: {value[:40]!r}")
        return str(value)


class Instant(TypeDecorator[datetime]):
    """An aware UTC time with microseconds; naive ones are refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(32))
        if dialect.name == "mssql":
            from sqlalchemy.dialects.mssql import DATETIME2

            return dialect.type_descriptor(DATETIME2(6))  # type: ignore[no-untyped-call]
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise InvalidInput("a time without a time zone")
        instant = value.astimezone(UTC)
        return instant.isoformat(timespec="microseconds") if dialect.name == "sqlite" else instant.replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC)
        try:
            return value if value is None else datetime.fromisoformat(value)
        except (ValueError, TypeError):
            return value


class Json(TypeDecorator[Any]):
    """Any value that msgspec writes, as text."""

    impl = UnicodeText
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return msgspec.json.encode(dict(value) if isinstance(value, abc.Mapping) else value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        try:
            return msgspec.json.decode(value)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            return value


class Switch(TypeDecorator[bool]):
    """True or False as 1 or 0."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> int:
        return int(bool(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return {0: False, 1: True}.get(value, value)


metadata = MetaData()
_ordered = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER


def _key(*columns: str) -> PrimaryKeyConstraint:
    return PrimaryKeyConstraint(*columns, info={LONG: True})


def _single_row() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=False)


system = Table(
    "system",
    metadata,
    _single_row(),
    Column("system_id", Name(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("settings", Json, nullable=False),
)

# The one row that every guard checks and every change of it locks. Its first two columns are the same in every schema.
# `first_revision` is where new rows begin: above every revision of a deleted row, so that a row made again never looks
# like the one that somebody read before.
guard = Table(
    "guard",
    metadata,
    _single_row(),
    Column("schema_version", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("active_version", Integer),
    Column("lease_holder", Name()),
    Column("lease_expires_at", Instant),
    Column("lease_url", Name(1024)),
    Column("lease_ttl_ms", BigInteger, nullable=False),
    Column("first_revision", BigInteger, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("state", Name(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("check_value", Name(64), nullable=False),
    Column("completed_at", Instant),
    Column("compromised_at", Instant),
)

rotation = Table(
    "rotation",
    metadata,
    _single_row(),
    Column("paused_at", Instant),
    Column("max_rows_per_second", Integer),
)

backup = Table(
    "backup",
    metadata,
    _single_row(),
    Column("created_at", Instant, nullable=False),
    Column("versions", Json, nullable=False),
)

applications = Table(
    "applications",
    metadata,
    Column("name", Name(), nullable=False),
    Column("application_id", Name(64), nullable=False),
    Column("type", Name(32), nullable=False),
    Column("fields", Json, nullable=False),
    Column("flags", Json, nullable=False),
    Column("description", UnicodeText, nullable=False),
    Column("contact", UnicodeText, nullable=False),
    Column("user_accounts", Json, nullable=False),
    Column("administrator_accounts", Json, nullable=False),
    Column("ticket_timeout_minutes", Integer),
    Column("revision", BigInteger, nullable=False),
    _key("name"),
)

mappings = Table(
    "mappings",
    metadata,
    Column("application", Name(), nullable=False),
    Column("user", Name(), nullable=False),
    Column("external_user", Name(), nullable=False),
    Column("enabled", Switch, nullable=False),
    Column("revision", BigInteger, nullable=False),
    _key("application", "user"),
    ForeignKeyConstraint(["application"], ["applications.name"], ondelete="CASCADE"),
    Index("mappings_by_external_user", "application", "external_user"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("application", Name(), nullable=False),
    Column("user", Name(), nullable=False),
    Column("version", Integer, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("revision", BigInteger, nullable=False),
    _key("application", "user"),
    ForeignKeyConstraint(
        ["application", "user"],
        ["mappings.application", "mappings.user"],
        ondelete="CASCADE",
        name="credential_mapping",
    ),
    Index("credentials_by_version", "version", "application", "user"),
)

used_tickets = Table(
    "used_tickets",
    metadata,
    Column("ticket_id", Name(128), primary_key=True),
    Column("expires_at", Instant, nullable=False),
    Index("used_tickets_by_end", "expires_at"),
)

servers = Table(
    "servers",
    metadata,
    Column("name", Name(), nullable=False),
    Column("instance", Name(), nullable=False),
    Column("versions_held", Json, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("role", Name(32), nullable=False),
    Column("url", Name(1024), nullable=False),
    Column("problem", UnicodeText, nullable=False),
    _key("name", "instance"),
)

identities = Table(
    "identities",
    metadata,
    Column("name", Name(), nullable=False),
    Column("role", Name(32), nullable=False),
    Column("serial", Name(128), nullable=False),
    Column("enrolled_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("expires_at", Instant),
    Column("previous_serial", Name(128), nullable=False),
    _key("name"),
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("token_hash", Name(128), primary_key=True),
    Column("name", Name(), nullable=False),
    Column("role", Name(32), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("redeemed_at", Instant),
)

outbox = Table(
    "outbox",
    metadata,
    Column("position", _ordered, primary_key=True),
    Column("event_id", Name(128), nullable=False, unique=True),
    Column("kind", Name(), nullable=False),
    Column("at", Instant, nullable=False),
    Column("detail", Json, nullable=False),
    Column("severity", Name(16), nullable=False),
    sqlite_autoincrement=True,
)

# An event without a row here is still to be offered to that notifier; with `parked_at` it is a dead letter.
deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", Name(128), nullable=False),
    Column("notifier", Name(), nullable=False),
    Column("parked_at", Instant),
    Column("reason", UnicodeText),
    _key("event_id", "notifier"),
    ForeignKeyConstraint(["event_id"], ["outbox.event_id"], ondelete="CASCADE"),
)

# Numbered by its head, which a commit locks until its end: the numbers have no gap, and are the order of the commits.
audit = Table(
    "audit",
    metadata,
    Column("trail", Name(32), nullable=False),
    Column("sequence", BigInteger, nullable=False, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", Name(1024), nullable=False),
    Column("action", Name(), nullable=False),
    Column("subject", Name(1024), nullable=False),
    Column("detail", Json, nullable=False),
    Column("origin", Name(1024), nullable=False),
    Column("result", Name(64), nullable=False),
    Column("link", LargeBinary(32), nullable=False),
    PrimaryKeyConstraint("trail", "sequence"),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("trail", Name(32), nullable=False),
    Column("base_sequence", BigInteger, nullable=False),
    Column("base_link", LargeBinary(32), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("link", LargeBinary(32), nullable=False),
    Column("sealed_sequence", BigInteger, nullable=False),
    Column("sealed_link", LargeBinary(32), nullable=False),
    Column("sealed_version", Integer, nullable=False),
    Column("mac", LargeBinary(32), nullable=False),
    _key("trail"),
)


def _create_tables(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    first = {"id": 1, "schema_version": 0, "epoch": 0, "lease_ttl_ms": 0, "first_revision": 1}
    connection.execute(insert(guard), first)
    connection.execute(insert(audit_heads), [asdict(AuditHead(trail)) for trail in AuditTrail])


Migration = abc.Callable[[Connection], None]

MIGRATIONS: tuple[Migration, ...] = (_create_tables,)
"""What `prepare` applies, in order, in one transaction; the schema version is the number of steps applied. A released
step never changes: whoever changes a table above gives step 1 a copy of what it was and appends a step that alters."""
