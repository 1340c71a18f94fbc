from __future__ import annotations

import os
from collections import abc

import pytest
from keysvc_mssql.connecting import Server
from keysvc_mssql.store import SQLServerMappingStore

from keysvc.plugin import Location
from keysvc.stores import schema

VARIABLE = "KEYSVC_TEST_MSSQL_URL"
Open = abc.Callable[[], SQLServerMappingStore]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Here and not in the fixture, so that pytest says it in one line, instead of one for each test."""
    if "open_store" in getattr(item, "fixturenames", ()) and not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no SQL Server: what needs one did NOT run")


@pytest.fixture
def open_store() -> Open:
    """Opens the database of the variable, in which there is nothing of keysvc when the test begins."""
    location = Location.parse(os.environ[VARIABLE])

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
