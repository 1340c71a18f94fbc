"""Seals with AES-256-GCM (NIST SP 800-38D) under a key that the operator keeps elsewhere."""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from keysvc.plugin import ConfigurationError, KeyStoreInfo, SealBroken, SecretBytes, SecretText

NONCE_BYTES = 12


class ExampleSealer:
    """A `keysvc.plugin.sealed.Sealer`. What it makes: a random nonce, then AES-256-GCM."""

    def __init__(self, url: str, key: SecretText) -> None:
        self._url = url
        try:
            self._cipher = AESGCM(base64.b64decode(key.reveal(), validate=True))
        except ValueError:
            raise ConfigurationError("example: the key is not 32 bytes in base64") from None

    def info(self) -> KeyStoreInfo:
        """Safe to show."""
        return KeyStoreInfo(self._url, "a key from key-source", hardware=False, exportable=True)

    def seal(self, secret: SecretBytes, context: bytes) -> bytes:
        """`context` is authenticated, not hidden."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.reveal(), context)

    def unseal(self, sealed: bytes, context: bytes) -> SecretBytes:
        """Raises SealBroken."""
        try:
            return SecretBytes(self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context))
        except (InvalidTag, ValueError):
            raise SealBroken("changed, or sealed under another key") from None

    def random(self, count: int) -> bytes:
        """The operating system's."""
        return os.urandom(count)

    def close(self) -> None:
        """Nothing is held open."""
