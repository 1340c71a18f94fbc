"""The keys of audit trails: HKDF-SHA256 (RFC 5869) from the versions of the master secret."""

from __future__ import annotations

from collections import abc

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keysvc.model import MasterSecret, SecretBytes
from keysvc.plugin.audit_chain import AuditKeys

KEY_BYTES = 32
_KEY_LABEL = b"keysvc audit key v1"


def audit_keys(secrets: abc.Iterable[MasterSecret], system_id: str) -> AuditKeys:
    """One key a version, of 32 bytes."""
    return AuditKeys(system_id, {secret.version: _derive(secret, system_id) for secret in secrets})


def _derive(secret: MasterSecret, system_id: str) -> SecretBytes:
    salt = bytes.fromhex(system_id)
    return SecretBytes(HKDF(SHA256(), KEY_BYTES, salt, _KEY_LABEL).derive(secret.material.reveal()))
