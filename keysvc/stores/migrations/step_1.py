"""Step 1: the schema of release 0.1.0, frozen. Later steps start from it; this file never changes."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UnicodeText,
)

from keysvc.stores.columns import ORDERED, Instant, Json, LongKey, Name, Switch, single_row
from keysvc.stores.migrations.statements import create_tables, insert_missing

metadata = MetaData()

system = Table(
    "system",
    metadata,
    single_row(),
    Column("system_id", Name(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("settings", Json, nullable=False),
)

guard = Table(
    "guard",
    metadata,
    single_row(),
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
    single_row(),
    Column("paused_at", Instant),
    Column("max_rows_per_second", Integer),
)

backup = Table(
    "backup",
    metadata,
    single_row(),
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
    LongKey("name"),
)

mappings = Table(
    "mappings",
    metadata,
    Column("application", Name(), nullable=False),
    Column("user", Name(), nullable=False),
    Column("external_user", Name(), nullable=False),
    Column("enabled", Switch, nullable=False),
    Column("revision", BigInteger, nullable=False),
    LongKey("application", "user"),
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
    LongKey("application", "user"),
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
    LongKey("name", "instance"),
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
    LongKey("name"),
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
    Column("position", ORDERED, primary_key=True),
    Column("event_id", Name(128), nullable=False, unique=True),
    Column("kind", Name(), nullable=False),
    Column("at", Instant, nullable=False),
    Column("detail", Json, nullable=False),
    Column("severity", Name(16), nullable=False),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", Name(128), nullable=False),
    Column("notifier", Name(), nullable=False),
    Column("parked_at", Instant),
    Column("reason", UnicodeText),
    LongKey("event_id", "notifier"),
    ForeignKeyConstraint(["event_id"], ["outbox.event_id"], ondelete="CASCADE"),
)

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
    LongKey("trail"),
)


def step_1(connection: Connection) -> None:
    """Create the tables. The guard row comes last: without it the step is unfinished."""
    create_tables(connection, [table for table in metadata.sorted_tables if table is not guard])
    zeros = {"base_sequence": 0, "sequence": 0, "sealed_sequence": 0, "sealed_version": 0}
    links = {"base_link": bytes(32), "link": bytes(32), "sealed_link": bytes(32), "mac": b""}
    for trail in ("changes", "deleted-applications", "deleted-mappings", "lookups"):
        insert_missing(connection, audit_heads, {"trail": trail, **zeros, **links})
    create_tables(connection, [guard])
    first = {"id": 1, "schema_version": 1, "epoch": 0, "lease_ttl_ms": 0, "first_revision": 1}
    insert_missing(connection, guard, first)
