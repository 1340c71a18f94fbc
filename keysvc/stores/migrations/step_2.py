"""Step 2: which releases may open the store, what identities, join tokens and servers need from release 0.2 on, and the
keys of names."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, bindparam, select, text, update

from keysvc.model import names
from keysvc.stores.columns import Instant, Name, Switch
from keysvc.stores.migrations.statements import add_column, add_index, insert_missing
from keysvc.stores.migrations.step_1 import audit_heads

PAGE: Final = 1000


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
    _add_keys(connection, "applications", "name")
    _add_keys(connection, "mappings", "user", "application")
    _add_keys(connection, "identities", "name")


def _add_keys(connection: Connection, table: str, name: str, *within: str) -> None:
    """Add the column of keys of a name, fill it in pages, and index it. No release inserts rows without it."""
    column = f"{name}_key"
    add_column(connection, table, Column(column, Name(), nullable=False, server_default=text("''")))
    rows = Table(table, MetaData(), *(Column(each, Name()) for each in (*within, name, column)))
    missing = select(*(rows.c[each] for each in (*within, name))).where(rows.c[column] == "").limit(PAGE)
    this = [rows.c[each] == bindparam(f"of_{each}") for each in (*within, name)]
    keyed = update(rows).where(*this).values({column: bindparam("key")})
    while page := connection.execute(missing).all():
        of = [{f"of_{each}": value for each, value in zip((*within, name), row, strict=True)} for row in page]
        connection.execute(keyed, [{**row, "key": names.key(row[f"of_{name}"])} for row in of])
    add_index(connection, f"{table}_by_key", table, *within, column)
