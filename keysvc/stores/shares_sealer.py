"""The sealer of the shares key store: HPKE (RFC 9180), base mode, DHKEM(X25519), HKDF-SHA256 and AES-256-GCM. The
private key is the 32 bytes that the shares give."""

from __future__ import annotations

import base64
import os
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from keysvc.errors import ConfigurationError, InvalidInput, SealBroken, SharesNeeded
from keysvc.model import SecretBytes, SecretText
from keysvc.plugin.interfaces import KeyStoreInfo, Prompt
from keysvc.stores import slip39

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
INFO = b"keysvc shares v1"


class SharesSealer:
    """Under the public key; unsealing asks for the "shares", one a line, once."""

    def __init__(self, url: str, public: bytes | None, prompt: Prompt) -> None:
        self._url = url
        self._public = public
        self._prompt = prompt
        self._private: X25519PrivateKey | None = None
        self._lock = threading.Lock()

    def info(self) -> KeyStoreInfo:
        """Says that shares open it."""
        return KeyStoreInfo(self._url, "SLIP-39 shares", hardware=False, exportable=True)

    def seal(self, secret: SecretBytes, context: bytes) -> bytes:
        """HPKE's encapsulation (32) ‖ AES-256-GCM (48); its info is a label and the context."""
        if self._public is None:
            raise ConfigurationError("shares: needs public-key to seal", hint="keysvc secret shares prints the URL")
        return SUITE.encrypt(secret.reveal(), X25519PublicKey.from_public_bytes(self._public), info=INFO + context)

    def unseal(self, sealed: bytes, context: bytes) -> SecretBytes:
        """Raises SharesNeeded where nobody can be asked, SealBroken."""
        private = self._root()
        try:
            return SecretBytes(SUITE.decrypt(sealed, private, info=INFO + context))
        except (InvalidTag, ValueError):
            raise SealBroken("changed, or sealed for other shares") from None

    def random(self, count: int) -> bytes:
        """The operating system's."""
        return os.urandom(count)

    def close(self) -> None:
        """Forget the root."""
        with self._lock:
            self._private = None

    def _root(self) -> X25519PrivateKey:
        with self._lock:
            if self._private is None:
                try:
                    lines = self._prompt("shares").reveal().splitlines()
                except ConfigurationError:
                    raise SharesNeeded("only the holders of the shares can open it") from None
                try:
                    root, _ = slip39.combine([slip39.parse(SecretText(line)) for line in lines])
                except InvalidInput as error:
                    raise SealBroken(str(error), hint=error.hint) from None
                private = X25519PrivateKey.from_private_bytes(root.reveal())
                if self._public not in (None, private.public_key().public_bytes_raw()):
                    raise SealBroken("the shares are of another root than this key store's")
                self._private = private
            return self._private


def public_key_of(root: SecretBytes) -> str:
    """As the option public-key has it."""
    public = X25519PrivateKey.from_private_bytes(root.reveal()).public_key().public_bytes_raw()
    return base64.urlsafe_b64encode(public).decode().rstrip("=")


def decoded(public: str) -> bytes:
    """Raises ConfigurationError."""
    try:
        raw = base64.b64decode(public + "=" * (-len(public) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ConfigurationError("public-key is not 32 bytes in URL-safe base64")
    return raw
