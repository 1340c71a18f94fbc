"""What a database of keysvc would answer, as far as a commit asks: for a `Recorder`, which runs no SQL."""

from __future__ import annotations

from collections import abc
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from keysvc_mssql.connecting import Server
from keysvc_mssql.store import SQLServerMappingStore
from tds_recorder import Answer, Call, Failure, Recorder, Rows

from keysvc.plugin import AuditHead, AuditTrail, Location
from keysvc.stores import schema
from keysvc.stores.migrations import MIGRATIONS
from keysvc.stores.sql_database import GUARD_COLUMNS

_KINDS = {"Integer": "int", "BigInteger": "bigint", "LargeBinary": "varbinary", "Instant": "datetime2"}
_ACTIVE = {"active_version": 1, "active_check_value": f"{1:016x}"}
_GUARD = {"schema_version": len(MIGRATIONS), "epoch": 1, "lease_ttl_ms": 0, **_ACTIVE}


def rows_of(columns: abc.Iterable[Any], *rows: abc.Sequence[Any]) -> Rows:
    """Rows with the types of columns of the schema."""
    return Rows(
        tuple((c.name, _KINDS.get(type(c.type).__name__, "nvarchar")) for c in columns), tuple(map(tuple, rows))
    )


def _guard() -> Rows:
    check_value = schema.versions.c.check_value.label("active_check_value")
    columns = (*GUARD_COLUMNS, check_value, schema.system.c.settings)
    return rows_of(columns, [_GUARD.get(column.name) for column in columns])


def one(name: str, kind: str, value: Any) -> Rows:
    """A single value."""
    return Rows(((name, kind),), ((value,),))


@dataclass
class Database:
    """Prepared, version 1 active, every row that is asked for is there. `instead` answers before it."""

    json: str = "exact"
    """What it makes of JSON: "exact", "escaped" and cut as some makers' servers do, or "none"."""
    snapshots: int = 1
    instead: abc.Callable[[Call], abc.Sequence[Answer] | None] = field(default=lambda _: None)

    def __call__(self, call: Call) -> abc.Sequence[Answer]:
        """The results of a statement."""
        instead = self.instead(call)
        return self._usual(call) if instead is None else instead

    def _usual(self, call: Call) -> abc.Sequence[Answer]:
        sql = call.sql
        if "@@version" in sql:
            return [one("v", "nvarchar", "Microsoft SQL Server 2022 - 16.0.1000.6")]
        if "SERVERPROPERTY" in sql:
            return [one("v", "nvarchar", "16.0.1000.6")]
        if "is_read_committed_snapshot_on" in sql:
            return [one("on", "int", self.snapshots)]
        if "SYSUTCDATETIME" in sql:
            return [one("now", "datetime2", datetime(2026, 2, 3))]
        if "sp_getapplock" in sql:
            return [self._locked(sql)]
        if sql.startswith("SELECT given.") and "OPENJSON" in sql:
            return [self._probed(call)]
        if "FROM audit_heads" in sql:
            head = asdict(AuditHead(AuditTrail(call.parameters[-1].value)))
            return [rows_of([*schema.audit_heads.c, schema.guard.c.active_version], [*head.values(), 1])]
        if "INFORMATION_SCHEMA.COLUMNS" in sql:
            columns = [column for table in schema.metadata.sorted_tables for column in table.c]
            names = ("TABLE_NAME", "COLUMN_NAME", "IS_NULLABLE", "COLUMN_DEFAULT")
            rows = tuple((str(column.table.name), str(column.name), "YES", None) for column in columns)
            return [Rows(tuple((name, "nvarchar") for name in names), rows)]
        return self._small(sql)

    def _small(self, sql: str) -> abc.Sequence[Answer]:
        if sql.startswith("SELECT guard.epoch, "):
            return [_guard()]
        if sql.startswith(("SELECT guard.schema_version", "SELECT 1 ")) or "OBJECT_ID" in sql:
            return [one("found", "int", len(MIGRATIONS))]
        if sql.startswith(("SELECT max(", "SELECT (SELECT max(")):
            return [Rows((("a", "bigint"), ("b", "bigint")), ((1, 1),))]
        return [Rows((("x", "int"),))] if sql.lstrip().upper().startswith("SELECT") else [1]

    def _locked(self, sql: str) -> Rows:
        if "LEFT JOIN guard" not in sql:
            return one("result", "int", 0)
        guard = _guard()
        return Rows((("result", "int"), *guard.columns), ((0, *guard.rows[0]),))

    def _probed(self, call: Call) -> Answer:
        if self.json == "none":
            return Failure(208, "Invalid object name 'OPENJSON'.")
        kinds = {"text": "nvarchar", "name": "nvarchar", "content": "varbinary", "number": "bigint", "at": "datetime2"}
        rows = msgspec.json.decode(call.parameters[0].value)
        return Rows(tuple(kinds.items()), tuple(tuple(self._column(n, row[n]) for n in kinds) for row in rows))

    def _column(self, name: str, value: Any) -> Any:
        if name == "content":
            return bytes.fromhex(value[:4000] if self.json == "escaped" else value)
        if name == "at":
            return value and datetime.fromisoformat(value)
        return msgspec.json.encode(value)[1:-1].decode() if self.json == "escaped" and name == "name" else value


def opened(recorder: Recorder, **options: str) -> SQLServerMappingStore:
    """A store on it."""
    given = "&".join(f"{name}={value}" for name, value in {"Encrypt": "no", **options}.items())
    location = Location.parse(f"mssql://sa:secret@127.0.0.1:{recorder.port}/keysvc?{given}")
    return SQLServerMappingStore(Server.of(location), str(location))
