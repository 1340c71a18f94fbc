"""SQL Server keeps every promise of a mapping store."""

from __future__ import annotations

import pytest

from keysvc.testing import MappingStoreConformance


class TestSQLServerMappingStore(MappingStoreConformance):
    @pytest.fixture
    def open_store(self, open_store):
        return open_store
