"""The SSO server's domain: it caches the master secret in memory and encrypts and decrypts for applications."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keysvc.sso.credentials import Credential
    from keysvc.sso.service import SSO
    from keysvc.sso.tickets import Ticket

__all__ = ["SSO", "Credential", "Ticket"]

_HOMES = {"SSO": "keysvc.sso.service", "Credential": "keysvc.sso.credentials", "Ticket": "keysvc.sso.tickets"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'keysvc.sso' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
