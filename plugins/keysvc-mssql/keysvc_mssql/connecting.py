"""From a URL to connections: Microsoft's connection string, and the two packages that understand it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy.exc import DBAPIError

from keysvc.plugin import ConfigurationError, Location, MappingStoreUnavailable, SecretText
from keysvc_mssql.wire import Connection

# ConnectRetryCount 0: a connection that the library restores by itself, and fails to, is never told as lost.
DEFAULTS = MappingProxyType(
    {"Encrypt": "strict", "KeepAlive": "10", "KeepAliveInterval": "5", "ConnectRetryCount": "0"}
)
MSSQL_PYTHON, PYODBC = "mssql+keysvc_mssqlpython", "mssql+keysvc_pyodbc"
LOGIN_SECONDS = 10
_LOGIN_TIMEOUT = 103  # SQL_ATTR_LOGIN_TIMEOUT
_ODBC = "ODBC Driver 18 for SQL Server"


@dataclass(frozen=True, slots=True)
class Server:
    """A database on a server, and how to reach it. `dialect` is one of `keysvc_mssql.types`."""

    dialect: str
    connection_string: SecretText

    @classmethod
    def of(cls, location: Location, password: SecretText | None = None) -> Server:
        """Of `mssql[+mssqlpython|+pyodbc]://[USER[:PASSWORD]@]HOST[%5CINSTANCE][:PORT]/DATABASE?KEYWORD=…`.

        Raises ConfigurationError.
        """
        from keysvc_mssql import keyword

        package = location.scheme.partition("+")[2] or "mssqlpython"
        if package not in ("mssqlpython", "pyodbc"):
            raise ConfigurationError(f"{location.scheme}: is not known", hint="write mssql: or mssql+pyodbc:")
        parts = urlsplit(location.reveal())
        try:
            host, port, database = unquote(parts.hostname or ""), parts.port, location.path.strip("/")
        except ValueError:
            raise ConfigurationError(f"{location} has no number as its port") from None
        if not host or not database or "/" in database:
            raise ConfigurationError(
                f"{location} names no server and database", hint="write mssql://USER@HOST/DATABASE"
            )
        user = unquote(parts.username or "")
        secret = password.reveal() if password else unquote(parts.password or "")
        given = {keyword(n): value for n, value in location.options.items() if n != "password-source"}
        # a managed identity that a user names has no password
        who = {name: text for name, text in (("UID", user), ("PWD", secret if user else "")) if text}
        if not user and "Authentication" not in given:
            who = {"Trusted_Connection": "yes"}
        words = {
            "Server": f"{host},{port}" if port else host,
            "Database": database,
            **DEFAULTS,
            **({"Driver": _ODBC} if package == "pyodbc" else {}),
            **who,
            **given,
        }
        dialect = PYODBC if package == "pyodbc" else MSSQL_PYTHON
        return cls(dialect, SecretText(";".join(f"{name}={_quoted(text)}" for name, text in words.items())))

    def hint(self, error: DBAPIError) -> str | None:
        """What to do about an error, where its own words do not say so."""
        strict = "encrypt=strict" in self.connection_string.reveal().lower()
        if strict and error.statement is None and "login" not in str(error.orig).lower():
            return "is the server reachable? one before SQL Server 2022 has no TDS 8: write Encrypt=yes"
        return None

    def connect(self) -> Connection:
        """A connection of the package's, in autocommit. Raises its errors, MappingStoreUnavailable and
        ConfigurationError."""
        return self._connect_pyodbc() if self.dialect == PYODBC else self._connect_mssql_python()

    def _connect_pyodbc(self) -> Connection:
        import pyodbc

        opened = pyodbc.connect(self.connection_string.reveal(), autocommit=True, timeout=LOGIN_SECONDS)
        return Connection(_PyODBC(), opened)

    def _connect_mssql_python(self) -> Connection:
        import mssql_python

        try:
            opened = mssql_python.connect(
                self.connection_string.reveal(), autocommit=True, attrs_before={_LOGIN_TIMEOUT: LOGIN_SECONDS}
            )
        except mssql_python.OperationalError as error:
            if "Failed to load the driver" not in str(error):
                raise
            raise MappingStoreUnavailable(
                "Microsoft's library for SQL Server does not load", hint="apt-get install libltdl7 libgssapi-krb5-2"
            ) from None
        except mssql_python.ConnectionStringParseError as error:
            raise ConfigurationError(f"mssql: {'; '.join(error.errors)}", hint="mssql+pyodbc: may know it") from None
        return Connection(_MSSQLPython(), opened)


class _MSSQLPython:
    """It keeps an error's number to itself, and forgets it when it raises the error. The cursor below reads it before
    that: this is not public, so the version of the package is bounded."""

    def cursor(self, connection: Any) -> Any:
        return _numbering_cursor()(connection, timeout=0)

    def number(self, cursor: Any, error: Exception) -> int | None:  # noqa: ARG002
        return cursor.number()  # type: ignore[no-any-return]


@functools.cache
def _numbering_cursor() -> type[Any]:
    """Not at the import: it would load Microsoft's library."""
    from mssql_python import ddbc_bindings  # the compiled part, which has no types
    from mssql_python.cursor import Cursor

    diagnostics: Any = vars(ddbc_bindings)["DDBCSQLGetAllDiagRecords"]

    class NumberingCursor(Cursor):
        told: int | None = None

        def number(self) -> int | None:
            return self.told if self.told is not None else _first_number(self.hstmt)

        def _reset_cursor(self) -> None:
            if self.hstmt:
                self.told = _first_number(self.hstmt)
            super()._reset_cursor()

    def _first_number(handle: Any) -> int | None:
        for state, _ in diagnostics(handle) if handle else ():
            found = re.search(r"\((\d+)\)", state)  # [42000] (922)
            if found and found[1] != "0":
                return int(found[1])
        return None

    return NumberingCursor


class _PyODBC:
    """It writes an error's number behind the text: … (922) (SQLExecDirectW)."""

    def cursor(self, connection: Any) -> Any:
        return connection.cursor()

    def number(self, cursor: Any, error: Exception) -> int | None:  # noqa: ARG002
        found = re.search(r"\((\d+)\) \(SQL", str(error))
        return int(found[1]) if found else None


def _quoted(text: str) -> str:
    """MS-ODBCSTR 2.1: in braces, and a closing brace doubled, where it holds anything but plain characters."""
    plain = text.replace(".", "").replace("-", "").replace("_", "").replace(",", "").replace("\\", "").replace(":", "")
    return text if plain.isalnum() else "{" + text.replace("}", "}}") + "}"
