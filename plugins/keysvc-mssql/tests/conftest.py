from __future__ import annotations

import os
from collections import abc

import pytest
from keysvc_mssql.connecting import Server
from keysvc_mssql.store import SQLServerMappingStore

from keysvc.location import Location
from keysvc.stores import schema

VARIABLE = "KEYSVC_TEST_MSSQL_URL"
Open = abc.Callable[[], SQLServerMappingStore]


@pytest.fixture
def open_store() -> Open:
    """Opens the database of the variable, in which there is nothing of keysvc when the test begins."""
    url = os.environ.get(VARIABLE)
    if not url:
        pytest.skip(f"{VARIABLE} names no SQL Server: what needs one did NOT run")
    location = Location.parse(url)

    def opened() -> SQLServerMappingStore:
        return SQLServerMappingStore(Server.of(location), str(location))

    empty = opened()
    with empty._engine.connect() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.exec_driver_sql(f"IF OBJECT_ID(N'[{table.name}]', N'U') IS NOT NULL DROP TABLE [{table.name}]")
    empty.close()
    return opened


@pytest.fixture
def store(open_store: Open) -> abc.Iterator[SQLServerMappingStore]:
    """A prepared one."""
    made = open_store()
    made.prepare()
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, instead of one for each test."""
    if not os.environ.get(VARIABLE):
        terminalreporter.write_line(f"{VARIABLE} names no SQL Server: the suites on a server did NOT run")
