"""From a URL to connections: Microsoft's connection string, and the two packages that understand it."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from keysvc.plugin import ConfigurationError, Location, MappingStoreUnavailable, SecretText

# ConnectRetryCount 0: a connection that the library restores by itself, and fails to, is never told as lost.
DEFAULTS = MappingProxyType(
    {"Encrypt": "strict", "KeepAlive": "10", "KeepAliveInterval": "5", "ConnectRetryCount": "0"}
)
LOGIN_SECONDS = 10
_LOGIN_TIMEOUT = 103  # SQL_ATTR_LOGIN_TIMEOUT
_ODBC = "ODBC Driver 18 for SQL Server"


@dataclass(frozen=True, slots=True)
class Server:
    """A database on a server, and how to reach it. `dialect` is a name of SQLAlchemy's."""

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
        who = {"UID": user, "PWD": secret} if user else {}
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
        return cls(f"mssql+{package}", SecretText(";".join(f"{name}={_quoted(text)}" for name, text in words.items())))

    def connect(self) -> Any:
        """A connection of the package's, in autocommit. Raises its errors, and MappingStoreUnavailable."""
        if self.dialect == "mssql+pyodbc":
            import pyodbc

            return pyodbc.connect(self.connection_string.reveal(), autocommit=True, timeout=LOGIN_SECONDS)
        import mssql_python

        try:
            return mssql_python.connect(
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


def _quoted(text: str) -> str:
    """MS-ODBCSTR 2.1: in braces, and a closing brace doubled, where it holds anything but plain characters."""
    plain = text.replace(".", "").replace("-", "").replace("_", "").replace(",", "").replace("\\", "").replace(":", "")
    return text if plain.isalnum() else "{" + text.replace("}", "}}") + "}"


def options_of(dialect: str) -> abc.Mapping[str, Any]:
    """What SQLAlchemy is told besides: pyodbc sends a batch in one go only when asked to."""
    return {"fast_executemany": True} if dialect == "mssql+pyodbc" else {}
