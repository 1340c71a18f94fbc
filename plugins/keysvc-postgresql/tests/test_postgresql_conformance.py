"""PostgreSQL keeps every promise of a mapping store."""

from __future__ import annotations

import pytest
from keysvc_postgresql.store import PostgreSQLMappingStore

from keysvc.testing import MappingStoreConformance


class TestPostgreSQLMappingStore(MappingStoreConformance):
    @pytest.fixture
    def open_store(self, url):
        return lambda: PostgreSQLMappingStore(url)
