"""The target that is a database which somebody edited: one value of one row is anything that SQLite can keep."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections import abc
from pathlib import Path
from typing import Any

import msgspec

from fuzzing.target import Call, Target, Way, each
from keysvc.errors import InvalidInput
from keysvc.model import AuditTrail, ParkedEvent
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.loading import Plugins
from keysvc.stores import schema
from keysvc.testing.mapping_store_samples import check_every_kind_of_row

COLUMNS = [(table.name, str(column.name)) for table in schema.metadata.sorted_tables for column in table.c]


def _value(kind: int, content: bytes) -> str | tuple[str, object]:
    """An expression of SQL, or one with its parameter."""
    match kind % 5:
        case 0:
            return "CAST(? AS TEXT)", content
        case 1:
            return "?", content
        case 2:
            return "?", struct.unpack("<q", content[:8].ljust(8, b"\0"))[0]
        case 3:
            return "?", struct.unpack("<d", content[:8].ljust(8, b"\0"))[0]
    return "NULL"


def _reads(store: MappingStore) -> list[abc.Callable[[], object]]:
    return [
        store.info,
        store.system,
        store.versions,
        store.rotation_settings,
        store.lease,
        store.epoch,
        store.backup,
        lambda: store.application("SAP"),
        store.applications,
        lambda: store.mapping("SAP", "alice"),
        lambda: store.mappings("SAP"),
        lambda: store.mappings_of_external_user("SAP", "alice@sap"),
        lambda: store.credential("SAP", "alice"),
        lambda: store.look_up("SAP", "alice"),
        store.credentials,
        lambda: store.credentials(under=1),
        store.used_tickets,
        store.rows_by_version,
        store.servers,
        store.identities,
        lambda: store.identity("web"),
        store.enrolments,
        lambda: store.enrolment("ab" * 32),
        lambda: store.events(9),
        lambda: msgspec.convert(store.parked_events(9), list[ParkedEvent], from_attributes=True),
        *(lambda trail=trail: store.audit(trail) for trail in AuditTrail),
        store.audit_heads,
    ]


@contextlib.contextmanager
def _rows(folder: Path) -> abc.Iterator[Call]:
    at = folder / "keysvc.db"
    store: Any = Plugins().mapping_stores.open(f"sqlite:///{at}", lambda _: NotImplemented, "f" * 32)
    store.prepare()
    check_every_kind_of_row(store)
    editing = sqlite3.connect(at, isolation_level=None)
    editing.execute("PRAGMA synchronous = OFF")
    reads = _reads(store)

    def call(content: bytes) -> Way:
        if len(content) < 2:
            raise InvalidInput("no column is named")
        table, column = COLUMNS[content[0] % len(COLUMNS)]
        written = _value(content[1], content[2:])
        expression, parameters = (written, ()) if isinstance(written, str) else (written[0], written[1:])
        was = editing.execute(f"SELECT rowid, [{column}] FROM [{table}]").fetchall()
        try:
            editing.execute(f"UPDATE [{table}] SET [{column}] = {expression}", parameters)
        except (sqlite3.Error, OverflowError) as error:
            raise InvalidInput("SQLite does not keep this") from error
        try:
            return Way((table, column, *each(*reads)))
        finally:
            for row, before in was:
                editing.execute(f"UPDATE [{table}] SET [{column}] = ? WHERE rowid = ?", (before, row))

    try:
        yield call
    finally:
        editing.close()
        store.close()


def _seeds() -> list[bytes]:
    texts = (b'["a",1]', b'{"a":{}}', b"[" * 20_000, b"2026-02-03T04:05:06.789012+00:00", b"active", b"\xff", b"\0")
    return [bytes([number, 0]) + texts[number % len(texts)] for number in range(len(COLUMNS))]


ROWS = Target("rows", _rows, _seeds(), (b"[", b'{"', b'":', b"null", b"1e999", b"9999-12-31T23:59:59+14:00"))
