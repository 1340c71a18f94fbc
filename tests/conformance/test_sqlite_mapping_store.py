from __future__ import annotations

import pytest

from keysvc.stores.sqlite import SQLiteMappingStore
from keysvc.testing.mapping_store import MappingStoreConformance


class TestSQLiteMappingStore(MappingStoreConformance):
    @pytest.fixture
    def open_store(self, tmp_path):
        return lambda: SQLiteMappingStore(tmp_path / "mappings.db")
