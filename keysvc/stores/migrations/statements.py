"""What migration steps are made of. Each statement leaves alone what is there already: where a database commits every
definition at once, an interrupted step is repeated from its beginning.
"""

from __future__ import annotations

from collections import abc
from typing import Any

from sqlalchemy import Column, Connection, Index, MetaData, Table, exists, insert, inspect, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from keysvc.stores.columns import Name


class AddColumn(ExecutableDDLElement):
    """ALTER TABLE … ADD COLUMN."""

    def __init__(self, table: Table, column: Column[Any]) -> None:
        self.table, self.column = table, column


@compiles(AddColumn)
def _add_column(add: AddColumn, compiler: DDLCompiler, **_options: Any) -> str:
    verb = "ADD" if compiler.dialect.name == "mssql" else "ADD COLUMN"
    table = compiler.preparer.format_table(add.table)
    return f"ALTER TABLE {table} {verb} {compiler.get_column_specification(add.column)}"


def create_tables(connection: Connection, tables: abc.Iterable[Table]) -> None:
    """Create tables and their indexes, in this order."""
    there = set(inspect(connection).get_table_names())
    for table in tables:
        if table.name not in there:
            table.create(connection, checkfirst=False)
        else:
            for index in table.indexes:
                index.create(connection, checkfirst=True)


def add_column(connection: Connection, table: str, column: Column[Any]) -> None:
    """Add a column, which may be null or has a default of the server's."""
    assert column.nullable or column.server_default is not None, "an older release inserts rows without it"  # noqa: S101
    if column.name in {each["name"] for each in inspect(connection).get_columns(table)}:
        return
    connection.execute(AddColumn(Table(table, MetaData(), column), column))


def add_index(connection: Connection, name: str, table: str, *columns: str) -> None:
    """Add an index."""
    if name not in {each["name"] for each in inspect(connection).get_indexes(table)}:
        of = Table(table, MetaData(), *(Column(each, Name()) for each in columns))
        Index(name, *(of.c[each] for each in columns)).create(connection)


def insert_missing(connection: Connection, table: Table, row: abc.Mapping[str, Any]) -> None:
    """Insert a row unless one with its primary key is there."""
    same = [column == row[column.name] for column in table.primary_key]
    if not connection.scalar(select(exists().where(*same))):
        connection.execute(insert(table), row)
