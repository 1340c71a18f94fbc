from __future__ import annotations

import pytest
from postgresql_server import PostgreSQLServer, start_or_skip


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server for all tests of this process."""
    started = start_or_skip()
    yield started
    started.remove()


@pytest.fixture
def url(server: PostgreSQLServer) -> str:
    """An empty database."""
    return server.new_database()
