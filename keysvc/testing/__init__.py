"""For plugin authors: the suites that tell when a part keeps its promises.

    from keysvc.testing import KeyStoreConformance

    class TestMyKeyStore(KeyStoreConformance):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: MyKeyStore(tmp_path)      # opens the same store again: that is a restart

They need pytest and hypothesis: pip install keysvc[testing]. And for the tests of applications, a system in memory:

    with memory_sso({"SAP": {"alice": {"password": "x"}}}) as sso:
        assert sso.credential("SAP", user="alice")["password"].reveal() == "x"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keysvc.testing.authorizer import AuthorizerConformance
    from keysvc.testing.key_store import KeyStoreConformance
    from keysvc.testing.mapping_store import MappingStoreConformance
    from keysvc.testing.memory import memory_sso
    from keysvc.testing.notifier import NotifierConformance

__all__ = [
    "AuthorizerConformance",
    "KeyStoreConformance",
    "MappingStoreConformance",
    "NotifierConformance",
    "memory_sso",
]

_HOMES = {
    "AuthorizerConformance": "keysvc.testing.authorizer",
    "KeyStoreConformance": "keysvc.testing.key_store",
    "MappingStoreConformance": "keysvc.testing.mapping_store",
    "NotifierConformance": "keysvc.testing.notifier",
    "memory_sso": "keysvc.testing.memory",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'keysvc.testing' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
