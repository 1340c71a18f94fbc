"""Sealing one version of the master secret to one server's fresh key: HPKE (RFC 9180), base mode, HKDF-SHA256 and
AES-256-GCM; X25519 together with ML-KEM-768 where both ends have it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from keysvc.errors import ProtocolError
from keysvc.model import SecretBytes

HYBRID, CLASSIC = "MLKEM768-X25519", "X25519"
_MLKEM_PUBLIC_BYTES = 1184
_SUITES = {
    HYBRID: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    CLASSIC: hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
}


def _supported() -> tuple[str, ...]:
    try:
        mlkem.MLKEM768PrivateKey.generate()
    except UnsupportedAlgorithm:
        return (CLASSIC,)
    return (HYBRID, CLASSIC)


KEMS = _supported()
"""The key encapsulation mechanisms that this machine has, best first."""


@dataclass(frozen=True, slots=True)
class ReceiverKey:
    """A key pair for one answer. `public` is raw: 1184 bytes of ML-KEM-768 and 32 of X25519, or the latter alone."""

    kem: str
    public: bytes
    _private: x25519.X25519PrivateKey | hpke.MLKEM768X25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, kem: str) -> ReceiverKey:
        """A fresh one. Raises ProtocolError for a KEM that this machine lacks."""
        _require(kem)
        curve = x25519.X25519PrivateKey.generate()
        if kem == CLASSIC:
            return cls(kem, curve.public_key().public_bytes_raw(), curve)
        lattice = mlkem.MLKEM768PrivateKey.generate()
        public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        return cls(kem, public, hpke.MLKEM768X25519PrivateKey(lattice, curve))

    def open(self, sealed: bytes, context: bytes) -> SecretBytes:
        """What was sealed to it. Raises ProtocolError."""
        try:
            return SecretBytes(_SUITES[self.kem].decrypt(sealed, self._private, info=context))
        except (InvalidTag, ValueError):
            raise ProtocolError(
                "the master secret server's answer does not open with the key that it was sealed to"
            ) from None


def seal_to(kem: str, public: bytes, material: SecretBytes, context: bytes) -> bytes:
    """Seal `material` to a receiver's public key. Raises ProtocolError for a KEM or a key that cannot be used."""
    _require(kem)
    try:
        curve = x25519.X25519PublicKey.from_public_bytes(public[-32:])
        if kem == CLASSIC:
            if len(public) != 32:
                raise ProtocolError("an X25519 key has 32 bytes")
            return _SUITES[kem].encrypt(material.reveal(), curve, info=context)
        lattice = mlkem.MLKEM768PublicKey.from_public_bytes(public[:-32])
        return _SUITES[kem].encrypt(material.reveal(), hpke.MLKEM768X25519PublicKey(lattice, curve), info=context)
    except ValueError:
        raise ProtocolError(f"the public key cannot be used with {kem}") from None


def fetch_context(system_id: str, version: int, receiver: str) -> bytes:
    """The HPKE info of a fetch: what was sealed for one server, version and system opens for no other."""
    parts = [system_id.encode(), str(version).encode(), receiver.encode()]
    return b"keysvc fetch v1" + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def authority_context(system_id: str, receiver: str) -> bytes:
    """The HPKE info of the certificate authority's key, sealed for one standby."""
    parts = [system_id.encode(), receiver.encode()]
    return b"keysvc authority key v1" + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _require(kem: str) -> None:
    if kem not in KEMS:
        raise ProtocolError(f"this machine has no {kem[:40]!r}", hint=f"it has {' and '.join(KEMS)}")
