"""The tables of a SQL mapping store as this release reads and writes them.

`keysvc.stores.migrations` makes them: whoever changes a table here adds a step there, and a column that a step adds may
be null or has a default of the server's, because an older release inserts rows without it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UnicodeText,
    text,
)

from keysvc.stores.columns import (
    MSSQL_NAME_BYTES,
    NAME_CHARACTERS,
    ORDERED,
    Instant,
    Json,
    LongKey,
    Name,
    Switch,
    single_row,
)

__all__ = ["MSSQL_NAME_BYTES", "NAME_CHARACTERS", "Instant", "Json", "Name", "Switch", "metadata"]

metadata = MetaData()

system = Table(
    "system",
    metadata,
    single_row(),
    Column("system_id", Name(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("settings", Json, nullable=False),
)

# The one row that every guard checks and every change of it locks. Its first two columns are the same in every schema.
# `oldest_reader` is the lowest schema number whose releases may still open the store; every schema from 2 on has it.
# `first_revision` is where new rows begin: above every revision of a deleted row, so that a row made again never looks
# like the one that somebody read before.
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
    Column("oldest_reader", Integer, nullable=False, server_default=text("2")),
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

# Beside each name that somebody may spell in another way is its folded key: it finds the row, and is never believed.
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
    Column("name_key", Name(), nullable=False, server_default=text("''")),
    LongKey("name"),
    Index("applications_by_key", "name_key"),
)

mappings = Table(
    "mappings",
    metadata,
    Column("application", Name(), nullable=False),
    Column("user", Name(), nullable=False),
    Column("external_user", Name(), nullable=False),
    Column("enabled", Switch, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("user_key", Name(), nullable=False, server_default=text("''")),
    LongKey("application", "user"),
    ForeignKeyConstraint(["application"], ["applications.name"], ondelete="CASCADE"),
    Index("mappings_by_key", "application", "user_key"),
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
    Column("schema_version", Integer, nullable=False, server_default=text("1")),
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
    Column("revision", BigInteger, nullable=False, server_default=text("1")),
    Column("previous_may_renew", Switch, nullable=False, server_default=text("0")),
    Column("name_key", Name(), nullable=False, server_default=text("''")),
    LongKey("name"),
    Index("identities_by_key", "name_key"),
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("token_hash", Name(128), primary_key=True),
    Column("name", Name(), nullable=False),
    Column("role", Name(32), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("redeemed_at", Instant),
    Column("ended_at", Instant),
    Column("revision", BigInteger, nullable=False, server_default=text("1")),
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

# An event without a row here is still to be offered to that notifier; with `parked_at` it is a dead letter.
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
    LongKey("trail"),
)
