"""Connections whose settings are known to hold, whether PostgreSQL or a pooler such as PgBouncer answers.

A pooler refuses or ignores `options` of libpq, and in transaction mode gives each transaction to another session, of
which nothing may be assumed. It is recognized by the process that answers, which is not the one of the greeting.
"""

from __future__ import annotations

import re
from collections import abc
from typing import Any

import psycopg
from sqlalchemy import Connection

from keysvc.plugin import ConfigurationError

# A master that is paused within a transaction must not keep the guard row from its successor.
SETTINGS = {
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",
}
_SET = "SELECT set_config(name, value, %s) FROM unnest(%s::text[], %s::text[]) AS settings (name, value)"
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=((?:\\.|[^\s\\])*)")


def connect(parameters: abc.Mapping[str, Any]) -> psycopg.Connection[Any]:
    """Open a connection with SETTINGS, where its session is ours alone. `options` win over them. Raises
    ConfigurationError, which names the option that a pooler ignores, and psycopg.Error."""
    connection = psycopg.connect(**parameters, autocommit=True)
    try:
        if connection.execute("SELECT pg_backend_pid()").fetchall() == [(connection.info.backend_pid,)]:
            connection.execute(_SET, (False, *_settings(connection)))
        else:
            connection.prepare_threshold = None  # a prepared statement belongs to a session
            _check(connection)
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def begin(connection: Connection) -> None:
    """Begin a transaction in which SETTINGS hold, also where its session is lent for this transaction alone."""
    connection.begin()
    lent = connection.connection.driver_connection
    if isinstance(lent, psycopg.Connection) and lent.prepare_threshold is None:
        connection.exec_driver_sql(_SET, (True, *_settings(lent)))


def given(options: str) -> dict[str, str]:
    """Return the settings that `options` of libpq holds, as `-c name=value`."""
    found = _OPTION.findall(options)
    return {name.replace("-", "_").casefold(): re.sub(r"\\(.)", r"\1", value) for name, value in found}


def _given(connection: psycopg.Connection[Any]) -> dict[str, str]:
    return given(connection.info.get_parameters().get("options", ""))


def _settings(connection: psycopg.Connection[Any]) -> tuple[list[str], list[str]]:
    own = _given(connection)
    names = [name for name in SETTINGS if name not in own]
    return names, [SETTINGS[name] for name in names]


def _check(connection: psycopg.Connection[Any]) -> None:
    for name, value in _given(connection).items():
        holds = "SELECT current_setting(%(name)s, true), set_config(%(name)s, %(value)s, true)"
        is_set, wanted = connection.execute(holds, {"name": name, "value": value}).fetchall()[0]
        if is_set != wanted:
            raise ConfigurationError(
                f"postgresql: the pooler between keysvc and PostgreSQL ignores the option {name}={value}",
                hint=f"take it out of options and set it for the role: ALTER ROLE keysvc SET {name} = '{value}'",
            )
