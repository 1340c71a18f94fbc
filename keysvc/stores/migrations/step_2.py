"""Step 2: which releases may open the store, and what identities, join tokens and servers need from release 0.2 on."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Integer, text

from keysvc.stores.columns import Instant, Switch
from keysvc.stores.migrations.statements import add_column, insert_missing
from keysvc.stores.migrations.step_1 import audit_heads


def apply(connection: Connection) -> None:
    """Add columns, and the head of one more audit trail. Release 0.1 refuses every schema but its own, so no release
    reads below 2."""
    add_column(connection, "identities", Column("revision", BigInteger, nullable=False, server_default=text("1")))
    add_column(connection, "identities", Column("previous_may_renew", Switch, nullable=False, server_default=text("0")))
    add_column(connection, "enrolments", Column("ended_at", Instant))
    add_column(connection, "enrolments", Column("revision", BigInteger, nullable=False, server_default=text("1")))
    add_column(connection, "servers", Column("schema_version", Integer, nullable=False, server_default=text("1")))
    add_column(connection, "guard", Column("oldest_reader", Integer, nullable=False, server_default=text("2")))
    zeros = {"base_sequence": 0, "sequence": 0, "sealed_sequence": 0, "sealed_version": 0}
    links = {"base_link": bytes(32), "link": bytes(32), "sealed_link": bytes(32), "mac": b""}
    insert_missing(connection, audit_heads, {"trail": "members", **zeros, **links})
