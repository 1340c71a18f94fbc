"""What migration steps are made of. Each statement leaves alone what is there already: where a database commits every
definition at once, an interrupted step is repeated from its beginning.
"""

from __future__ import annotations

from collections import abc
from typing import Any

from sqlalchemy import Column, Connection, Table, exists, insert, inspect, select
from sqlalchemy.schema import CreateColumn


def create_tables(connection: Connection, tables: abc.Iterable[Table]) -> None:
    """Create tables and their indexes, in this order."""
    for table in tables:
        indexes = set(table.indexes)
        if not inspect(connection).has_table(table.name):
            table.create(connection, checkfirst=False)
            continue
        for index in indexes:
            index.create(connection, checkfirst=True)


def add_column(connection: Connection, table: str, column: Column[Any]) -> None:
    """Add a column, which may be null or has a default of the server's."""
    assert column.nullable or column.server_default is not None, "an older release inserts rows without it"  # noqa: S101
    if column.name in {each["name"] for each in inspect(connection).get_columns(table)}:
        return
    preparer = connection.dialect.identifier_preparer
    definition = CreateColumn(column).compile(dialect=connection.dialect)
    add = "ADD" if connection.dialect.name == "mssql" else "ADD COLUMN"
    connection.exec_driver_sql(f"ALTER TABLE {preparer.quote(table)} {add} {definition}")


def insert_missing(connection: Connection, table: Table, row: abc.Mapping[str, Any]) -> None:
    """Insert a row unless one with its primary key is there."""
    same = [column == row[column.name] for column in table.primary_key]
    if not connection.scalar(select(exists().where(*same))):
        connection.execute(insert(table), row)
