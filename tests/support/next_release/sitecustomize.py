"""With this folder in PYTHONPATH, a process of keysvc is of a release that has one more step."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer

from keysvc.stores import migrations
from keysvc.stores.migrations.statements import add_column


def one_more_step(connection: Connection) -> None:
    add_column(connection, "mappings", Column("note", Integer))


migrations.MIGRATIONS += (one_more_step,)
