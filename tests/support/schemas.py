"""Stores whose `prepare` ends or dies early, and the tables that it left."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from keysvc.stores.migrations import MIGRATIONS
from keysvc.stores.sqlite import SQLiteMappingStore


class AtStep1(SQLiteMappingStore):
    """Release 0.1, as far as `prepare` goes."""

    migrations = MIGRATIONS[:1]

    def _check_columns(self, connection: Connection) -> None:
        pass


class CommitsEachDefinition(SQLiteMappingStore):
    """As MySQL and MariaDB do: a definition ends the transaction, and what follows is in another."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        event.listen(self._engine, "after_cursor_execute", self._end)

    def _end(self, _connection: Connection, cursor: Any, statement: str, *_rest: object) -> None:
        if statement.split(maxsplit=1)[0] in {"CREATE", "ALTER"}:
            cursor.execute("COMMIT")
            cursor.execute("BEGIN IMMEDIATE")


def prepare(store: SQLiteMappingStore) -> None:
    """Lead it to its schema, and close it."""
    store.prepare()
    store.close()


def tables_of(path: Path) -> dict[str, list[list[Any]]]:
    """Every table with its columns, their types and defaults, its foreign keys, and its indexes."""
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        pragmas = ("table_info", "foreign_key_list", "index_list")
        found = {
            name: [sorted(row[1:] for row in raw.execute(f"PRAGMA {pragma}({name})")) for pragma in pragmas]
            for name in names
        }
    raw.close()
    return found
