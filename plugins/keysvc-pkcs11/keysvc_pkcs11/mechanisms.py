"""The three ways to seal under a KEK in a token, best first. Runs in the token's own process.

What is sealed begins with the number of its mechanism, so that it is opened by the one that made it.
"""

from __future__ import annotations

import hmac
import secrets
from collections import abc
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Protocol

from pkcs11.constants import Attribute, MechanismFlag, ObjectClass
from pkcs11.mechanisms import GCMParams, KeyType, Mechanism
from pkcs11.types import Session

from keysvc_pkcs11.kek import TokenKey
from keysvc_pkcs11.refusal import Broken

GCM_IV_BYTES = 12
GCM_TAG_BITS = 128
CBC_IV_BYTES = 16
MAC_BYTES = 32
_CONTEXT_LABEL = b"keysvc pkcs11 context v1"


@dataclass(frozen=True, slots=True)
class Keys:
    """`mac` only where the mechanism has a key of its own for it."""

    session: Session
    kek: TokenKey
    mac: TokenKey | None = None


class SealingMechanism(Protocol):
    """Seals a few bytes; the context is authenticated, not hidden."""

    number: ClassVar[int]
    name: ClassVar[str]
    needs: ClassVar[frozenset[Mechanism]]
    uses: ClassVar[MechanismFlag]
    has_mac_key: ClassVar[bool] = False

    def seal(self, keys: Keys, secret: bytes, context: bytes) -> bytes:
        """Raises PKCS11Error."""

    def unseal(self, keys: Keys, sealed: bytes, context: bytes) -> bytes:
        """Raises Broken, PKCS11Error."""


class AESGCM(SealingMechanism):
    """AES-GCM (NIST SP 800-38D): iv(12) ‖ ciphertext ‖ tag(16). The initialisation vector is read back after the call,
    because some HSMs insist on making it and write theirs over ours."""

    number = 1
    name = "AES-GCM"
    needs = frozenset({Mechanism.AES_GCM})
    uses = MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT

    def seal(self, keys: Keys, secret: bytes, context: bytes) -> bytes:
        """Raises PKCS11Error."""
        parameters = GCMParams(secrets.token_bytes(GCM_IV_BYTES), context, GCM_TAG_BITS)
        sealed = keys.kek.encrypt(secret, mechanism=Mechanism.AES_GCM, mechanism_param=parameters)
        return parameters.nonce + sealed

    def unseal(self, keys: Keys, sealed: bytes, context: bytes) -> bytes:
        """Raises Broken, PKCS11Error."""
        if len(sealed) <= GCM_IV_BYTES + GCM_TAG_BITS // 8:
            raise Broken("torn")
        parameters = GCMParams(sealed[:GCM_IV_BYTES], context, GCM_TAG_BITS)
        return keys.kek.decrypt(sealed[GCM_IV_BYTES:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters)


class AESKeyWrapPad(SealingMechanism):
    """AES key wrap with padding (RFC 5649, NIST SP 800-38F). It has no associated data: an HMAC-SHA256 under the secret
    itself, behind the wrapped secret, binds the context."""

    number = 2
    name = "AES-KEY-WRAP-PAD"
    needs = frozenset({Mechanism.AES_KEY_WRAP_PAD})
    uses = MechanismFlag.WRAP | MechanismFlag.UNWRAP

    def seal(self, keys: Keys, secret: bytes, context: bytes) -> bytes:
        """Raises PKCS11Error."""
        carrier = keys.session.create_object(
            {
                Attribute.CLASS: ObjectClass.SECRET_KEY,
                Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
                Attribute.VALUE: secret,
                Attribute.TOKEN: False,
                Attribute.PRIVATE: True,
                Attribute.SENSITIVE: False,
                Attribute.EXTRACTABLE: True,
            }
        )
        try:
            wrapped = keys.kek.wrap_key(carrier, mechanism=Mechanism.AES_KEY_WRAP_PAD)
        finally:
            carrier.destroy()
        return wrapped + _context_mac(secret, context)

    def unseal(self, keys: Keys, sealed: bytes, context: bytes) -> bytes:
        """Raises Broken, PKCS11Error."""
        wrapped, mac = sealed[:-MAC_BYTES], sealed[-MAC_BYTES:]
        if not wrapped:
            raise Broken("torn")
        carrier = keys.kek.unwrap_key(
            ObjectClass.SECRET_KEY,
            KeyType.GENERIC_SECRET,
            wrapped,
            mechanism=Mechanism.AES_KEY_WRAP_PAD,
            store=False,
            capabilities=MechanismFlag(0),
            template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True, Attribute.PRIVATE: True},
        )
        try:
            secret = bytes(carrier[Attribute.VALUE])
        finally:
            carrier.destroy()
        if not hmac.compare_digest(mac, _context_mac(secret, context)):
            raise Broken("it was moved here from another version or system, or changed")
        return secret


def _context_mac(secret: bytes, context: bytes) -> bytes:
    return hmac.digest(secret, _CONTEXT_LABEL + context, sha256)


class AESCBCPadHMAC(SealingMechanism):
    """AES-CBC with PKCS padding, then HMAC-SHA256 under a second key in the token (encrypt-then-MAC):
    iv(16) ‖ ciphertext ‖ mac(32). The MAC covers context length, context, iv and ciphertext."""

    number = 3
    name = "AES-CBC-PAD-HMAC-SHA256"
    needs = frozenset({Mechanism.AES_CBC_PAD, Mechanism.SHA256_HMAC, Mechanism.GENERIC_SECRET_KEY_GEN})
    uses = MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT
    has_mac_key = True

    def seal(self, keys: Keys, secret: bytes, context: bytes) -> bytes:
        """Raises PKCS11Error."""
        iv = secrets.token_bytes(CBC_IV_BYTES)
        sealed = iv + keys.kek.encrypt(secret, mechanism=Mechanism.AES_CBC_PAD, mechanism_param=iv)
        return sealed + self._mac(keys, sealed, context)

    def unseal(self, keys: Keys, sealed: bytes, context: bytes) -> bytes:
        """Raises Broken, PKCS11Error."""
        sealed, mac = sealed[:-MAC_BYTES], sealed[-MAC_BYTES:]
        if len(sealed) <= CBC_IV_BYTES:
            raise Broken("torn")
        if not hmac.compare_digest(mac, self._mac(keys, sealed, context)):
            raise Broken("changed, or sealed under another KEK")
        iv, ciphertext = sealed[:CBC_IV_BYTES], sealed[CBC_IV_BYTES:]
        return keys.kek.decrypt(ciphertext, mechanism=Mechanism.AES_CBC_PAD, mechanism_param=iv)

    def _mac(self, keys: Keys, sealed: bytes, context: bytes) -> bytes:
        assert keys.mac is not None  # noqa: S101  whoever picks this mechanism brings its key
        message = len(context).to_bytes(8, "big") + context + sealed
        return keys.mac.sign(message, mechanism=Mechanism.SHA256_HMAC)


MECHANISMS: abc.Sequence[SealingMechanism] = (AESGCM(), AESKeyWrapPad(), AESCBCPadHMAC())
"""Best first."""


def by_number(first_byte: bytes) -> SealingMechanism:
    """Raises Broken for a number that no keysvc wrote."""
    for mechanism in MECHANISMS:
        if bytes([mechanism.number]) == first_byte:
            return mechanism
    raise Broken("changed, torn, or of a newer keysvc: its mechanism is unknown")


def works(mechanism: SealingMechanism, keys: Keys) -> bool:
    """The self-test: what it seals, it opens again. Raises PKCS11Error when the token cannot."""
    probe, context = secrets.token_bytes(32), b"keysvc self-test"
    try:
        return mechanism.unseal(keys, mechanism.seal(keys, probe, context), context) == probe
    except Broken:
        return False
