"""The SSO server's domain: it caches the master secret in memory and encrypts and decrypts for applications."""

from __future__ import annotations

from keysvc.sso.credentials import Credential
from keysvc.sso.service import SSO
from keysvc.sso.tickets import Ticket

__all__ = ["SSO", "Credential", "Ticket"]
