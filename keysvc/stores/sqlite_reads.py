"""What every look-up reads on SQLite, and the pages of a re-encryption, without what SQLAlchemy does for each: that
takes ten times as long for a row, and more than twice for a page.

Only what is there and as it should be is answered here. A row that is missing, an error and a name that no row can have
are left to the long way, which knows what to say of them.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections import abc, deque
from typing import Any, TypeVar

import msgspec

from keysvc.errors import KeysvcError
from keysvc.model import Application, CredentialKey, EncryptedCredential, Mapping
from keysvc.plugin.interfaces import LookedUp
from keysvc.stores import schema

_Value = TypeVar("_Value")
File = tuple[int, int]
"""Which file it is, whatever its path: device and inode."""


class FileConnection(sqlite3.Connection):
    """A connection that knows which `file` it opened: it goes on with that one, whatever its path leads to now."""

    file: File | None = None


_APPLICATION_FIELDS, _MAPPING_FIELDS, _CREDENTIAL_FIELDS = (
    [str(column.name) for column in table.c if not column.name.endswith("_key")]
    for table in (schema.applications, schema.mappings, schema.credentials)
)
_JOINED = {"a": _APPLICATION_FIELDS, "m": _MAPPING_FIELDS, "c": _CREDENTIAL_FIELDS}
_JSON = [str(column.name) for column in schema.applications.c if isinstance(column.type, schema.Json)]
for _kind in (Application, Mapping, EncryptedCredential):
    msgspec.json.Decoder(_kind)  # msgspec learns it here, in one thread
_SWITCH: abc.Mapping[int, bool] = {0: False, 1: True}


_APPLICATION = f"SELECT {', '.join(_APPLICATION_FIELDS)} FROM applications WHERE name = ?"  # noqa: S608
_PAGE = f"""
    SELECT {", ".join(_CREDENTIAL_FIELDS)} FROM credentials
    WHERE version = ? AND (application, user) > (?, ?) ORDER BY application, user LIMIT ?
"""  # noqa: S608
_LOOK_UP = f"""
    SELECT {", ".join(f"{table}.{name}" for table, names in _JOINED.items() for name in names)} FROM applications a
    JOIN mappings m ON m.application = a.name
    JOIN credentials c ON c.application = m.application AND c.user = m.user
    WHERE a.name = ? AND m.user = ?
"""  # noqa: S608
_MAPPING_AT, _CREDENTIAL_AT = len(_APPLICATION_FIELDS), len(_APPLICATION_FIELDS) + len(_MAPPING_FIELDS)
_LEFT_TO_THE_LONG_WAY = (
    IndexError,  # another thread took the last connection
    KeysvcError,
    OverflowError,
    RecursionError,
    UnicodeError,
    msgspec.MsgspecError,
    sqlite3.Error,
)
_FIRST = CredentialKey("", "")


class DirectReads:
    """Thread-safe: a connection is used by one thread at a time, and kept for the next while its file is in place."""

    def __init__(self, connect: abc.Callable[[], FileConnection], file: abc.Callable[[], File | None]) -> None:
        """`file` says which file there is now."""
        self._connect, self._file = connect, file
        self._idle: deque[FileConnection] = deque()
        self._closed = False

    def application(self, name: str) -> Application | None:
        """None where the long way is needed, as of the others."""
        return self._one(_APPLICATION, (name,), _application)

    def look_up(self, application: str, user: str) -> LookedUp | None:
        """All three by exact names."""
        return self._one(_LOOK_UP, (application, user), _looked_up)

    def credentials(self, after: CredentialKey | None, limit: int, under: int) -> list[EncryptedCredential] | None:
        """A page of those under one version, by key."""
        start = after or _FIRST
        return self._read(_PAGE, (under, start.application, start.user, limit), _credentials)

    def close(self) -> None:
        """One that another thread still uses is closed as soon as it is given back."""
        self._closed = True
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _one(self, statement: str, names: tuple[str, ...], value: abc.Callable[..., _Value]) -> _Value | None:
        return self._read(statement, names, lambda found: value(*row) if (row := found.fetchone()) else None)

    def _read(
        self, statement: str, parameters: tuple[str | int, ...], values: abc.Callable[[sqlite3.Cursor], _Value]
    ) -> _Value | None:
        idle = self._idle
        try:
            connection = idle.pop() if idle else self._connect()
            try:
                if connection.file != self._file():
                    raise sqlite3.OperationalError("the file was replaced or removed")
                found = values(connection.execute(statement, parameters))
            except BaseException:
                connection.close()
                raise
            idle.append(connection)
            if self._closed:
                self.close()
            return found
        except _LEFT_TO_THE_LONG_WAY:
            return None


def _mapping(application: str, user: str, external_user: str, enabled: int, revision: int) -> Mapping:
    found = application, user, external_user, _SWITCH.get(enabled, enabled), revision
    return msgspec.convert(dict(zip(_MAPPING_FIELDS, found, strict=True)), Mapping)


def _credentials(rows: abc.Iterable[tuple[Any, ...]]) -> list[EncryptedCredential]:
    records = [dict(zip(_CREDENTIAL_FIELDS, row, strict=True)) for row in rows]
    return msgspec.convert(records, list[EncryptedCredential], builtin_types=(bytes,))


def _looked_up(*row: Any) -> LookedUp:
    (credential,) = _credentials([row[_CREDENTIAL_AT:]])
    return _application(*row[:_MAPPING_AT]), _mapping(*row[_MAPPING_AT:_CREDENTIAL_AT]), credential


@functools.lru_cache(maxsize=1024)
def _application(*row: Any) -> Application:
    """The same row is the same application: it is not decoded again."""
    record = dict(zip(_APPLICATION_FIELDS, row, strict=True))
    for name in _JSON:
        record[name] = msgspec.json.decode(record[name])
    return msgspec.convert(record, Application)
