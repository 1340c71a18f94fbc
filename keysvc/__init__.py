"""keysvc: an open, plugin-based, HSM-backed master secret server.

with keysvc.connect() as sso:
    credential = sso.credential("SAP", user="alice")
    sap.login(credential.external_user, credential["password"].reveal())
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keysvc.errors import KeysvcError
    from keysvc.installation.assembly import connect
    from keysvc.sso import SSO, Credential
    from keysvc.web.agent.client import AgentClient

__version__ = "0.1.0"
__all__ = ["SSO", "AgentClient", "Credential", "KeysvcError", "__version__", "connect"]

_HOMES = {
    "SSO": "keysvc.sso",
    "AgentClient": "keysvc.web.agent.client",
    "Credential": "keysvc.sso",
    "KeysvcError": "keysvc.errors",
    "connect": "keysvc.installation.assembly",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'keysvc' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
