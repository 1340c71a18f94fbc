"""Step 2: which releases may open the store, and what identities, join tokens and servers need from release 0.2 on."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Integer, text

from keysvc.stores.columns import Instant
from keysvc.stores.migrations.statements import add_column


def step_2(connection: Connection) -> None:
    """Add columns. Release 0.1 refuses every schema but its own, so no release reads below 2."""
    add_column(connection, "identities", Column("revision", BigInteger, nullable=False, server_default=text("1")))
    add_column(connection, "enrolments", Column("ended_at", Instant))
    add_column(connection, "enrolments", Column("revision", BigInteger, nullable=False, server_default=text("1")))
    add_column(connection, "servers", Column("schema_version", Integer, nullable=False, server_default=text("1")))
    add_column(connection, "guard", Column("oldest_reader", Integer, nullable=False, server_default=text("2")))
