"""Rows as values: what a database holds is checked like any input from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row, Table

from keysvc.errors import KeysvcError, MappingStoreError
from keysvc.model import Lease

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class GuardRow:
    """The one row that every guard checks."""

    epoch: int
    active_version: int | None
    lease_holder: str | None
    lease_expires_at: datetime | None
    lease_ttl_ms: int
    schema_version: int

    def lease(self, now: datetime) -> Lease | None:
        """The lease in force at `now`. One that ends later than its own ttl from now is of before a jump back."""
        if self.lease_holder is None or self.lease_expires_at is None:
            return None
        left = self.lease_expires_at - now
        if not timedelta(0) < left <= timedelta(milliseconds=self.lease_ttl_ms):
            return None
        return Lease(self.lease_holder, self.epoch, self.lease_expires_at)


def read(what: type[Value], table: Table, row: Row[Any]) -> Value:
    """A row as a value. Raises MappingStoreError, which names table and key, when keysvc cannot have written it."""
    columns = {str(name): value for name, value in row._mapping.items()}
    try:
        return msgspec.convert(columns, what, builtin_types=(bytes, datetime))
    except (msgspec.ValidationError, KeysvcError) as error:
        key = ", ".join(repr(columns[column.name]) for column in table.primary_key if column.name in columns)
        raise MappingStoreError(
            f"the row ({key}) of the table {table.name} cannot be read: {error}",
            hint="somebody or something else wrote it; restore the database from a backup",
        ) from None
