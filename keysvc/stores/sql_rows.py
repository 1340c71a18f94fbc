"""Rows as values: what a database holds is checked like any input from outside."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import GenericAlias
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row, Table

from keysvc.errors import KeysvcError, MappingStoreError
from keysvc.model import (
    Application,
    AuditEntry,
    BackupRecord,
    EncryptedCredential,
    Enrolment,
    Event,
    Identity,
    Lease,
    Mapping,
    NameRule,
    RotationSettings,
    Server,
    SystemRecord,
    UsedTicket,
    VersionId,
    VersionRecord,
)
from keysvc.plugin.audit_chain import AuditHead
from keysvc.plugin.interfaces import LookedUp
from keysvc.stores import schema

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class GuardRow:
    """The one row that every guard checks, with the system's `settings`, None before there is a system."""

    epoch: int
    active_version: int | None
    active_check_value: str | None
    lease_holder: str | None
    lease_expires_at: datetime | None
    lease_url: str | None
    lease_ttl_ms: int
    schema_version: int
    settings: dict[str, Any] | None

    @property
    def active(self) -> VersionId | None:
        """The active version."""
        return None if self.active_version is None else VersionId(self.active_version, self.active_check_value or "")

    @property
    def names_are_folded(self) -> bool:
        """Whether a new name is refused while another has its folded key."""
        return self.settings is not None and self.settings.get("names") == NameRule.FOLDED

    def lease(self, now: datetime) -> Lease | None:
        """The lease in force at `now`. One that ends later than its own ttl from now is of before a jump back."""
        if self.lease_holder is None or self.lease_expires_at is None:
            return None
        left = self.lease_expires_at - now
        if not timedelta(0) < left <= timedelta(milliseconds=self.lease_ttl_ms):
            return None
        return Lease(self.lease_holder, self.epoch, self.lease_expires_at, self.lease_url or "")


@dataclass(frozen=True, slots=True)
class Parking:
    """A row of deliveries whose event is parked."""

    notifier: str
    reason: str
    parked_at: datetime


KINDS: tuple[type[Any], ...] = (
    Application,
    AuditEntry,
    AuditHead,
    BackupRecord,
    EncryptedCredential,
    Enrolment,
    Event,
    GuardRow,
    Identity,
    Mapping,
    NameRule,
    Parking,
    RotationSettings,
    Server,
    SystemRecord,
    UsedTicket,
    VersionId,
    VersionRecord,
)
"""What rows are read as. msgspec learns a class when it first decodes into it, and two threads that do so at once
crash the process: it learns these here, while the module is imported."""
for _kind in KINDS:
    msgspec.json.Decoder(_kind)
_LISTS: abc.Mapping[type[Any], Any] = {kind: GenericAlias(list, kind) for kind in KINDS}


def read(what: type[Value], table: Table, rows: abc.Sequence[Row[Any]]) -> list[Value]:
    """Rows of one result as values. Raises MappingStoreError, which names table and key of the first row that keysvc
    cannot have written."""
    if not rows:
        return []
    names = [str(name) for name in rows[0]._fields]
    return _values(what, table, [dict(zip(names, row, strict=True)) for row in rows])


def looked_up(row: abc.Iterable[Any]) -> LookedUp:
    """A row of applications, mappings and credentials joined, each with all its columns. Raises as `read`."""
    cells = iter(row)
    application = _part(Application, schema.applications, cells)
    assert application is not None, "the others are joined to it"  # noqa: S101
    return application, _part(Mapping, schema.mappings, cells), _part(EncryptedCredential, schema.credentials, cells)


def _part(what: type[Value], table: Table, cells: abc.Iterator[Any]) -> Value | None:
    record = {str(column.name): next(cells) for column in table.c}
    return None if record[table.primary_key.columns[0].name] is None else _values(what, table, [record])[0]


def _values(what: type[Value], table: Table, records: list[dict[str, Any]]) -> list[Value]:
    try:
        return _convert(records, _LISTS[what])
    except (msgspec.ValidationError, KeysvcError):
        for record in records:
            _check(what, table, record)
        raise


def _convert(records: Any, what: type[Value]) -> Value:
    return msgspec.convert(records, what, builtin_types=(bytes, datetime))


def _check(what: type[Any], table: Table, record: dict[str, Any]) -> None:
    try:
        _convert(record, what)
    except (msgspec.ValidationError, KeysvcError) as error:
        key = ", ".join(repr(record[column.name]) for column in table.primary_key if column.name in record)
        raise MappingStoreError(
            f"the row ({key}) of the table {table.name} cannot be read: {error}",
            hint="somebody or something else wrote it; restore the database from a backup",
        ) from None
