"""The recipients of age that are keys: X25519, and the two kinds of SSH keys that age knows. They are only read; keysvc
writes for passphrases."""

from __future__ import annotations

import hashlib
from collections import abc
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from keysvc.crypto.age import FILE_KEY_BYTES, Stanza, decode, derive
from keysvc.errors import InvalidInput
from keysvc.model import SecretBytes

_PREFIX = "age-secret-key-"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_WRAPPED_BYTES = FILE_KEY_BYTES + 16
_LABEL = b"age-encryption.org/v1/"


class AgeIdentity(Protocol):
    """A private key that may open a stanza."""

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key; None when the stanza is for another key. Raises ValueError when the stanza was changed."""


@dataclass(frozen=True, slots=True)
class X25519Identity:
    """age's own kind of key."""

    private: X25519PrivateKey

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """As of AgeIdentity."""
        if stanza.kind != "X25519":
            return None
        (_, encoded) = stanza.arguments
        share = decode(encoded)
        secret = self.private.exchange(X25519PublicKey.from_public_bytes(share))
        own = self.private.public_key().public_bytes_raw()
        return _unwrapped(stanza, derive(secret, share + own, _LABEL + b"X25519"))


@dataclass(frozen=True, slots=True)
class SshEd25519Identity:
    """An SSH key of the kind ssh-ed25519, whose seed also gives an X25519 key."""

    private: Ed25519PrivateKey

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """As of AgeIdentity."""
        if stanza.kind != "ssh-ed25519":
            return None
        (_, tag, encoded) = stanza.arguments
        share = decode(encoded)
        public = _ssh_public(self.private)
        if decode(tag) != hashlib.sha256(public).digest()[:4]:
            return None
        private = X25519PrivateKey.from_private_bytes(hashlib.sha512(self.private.private_bytes_raw()).digest()[:32])
        info = _LABEL + b"ssh-ed25519"
        tweak = X25519PrivateKey.from_private_bytes(derive(b"", public, info))
        shared = private.exchange(X25519PublicKey.from_public_bytes(share))
        secret = tweak.exchange(X25519PublicKey.from_public_bytes(shared))
        return _unwrapped(stanza, derive(secret, share + private.public_key().public_bytes_raw(), info))


@dataclass(frozen=True, slots=True)
class SshRsaIdentity:
    """An SSH key of the kind ssh-rsa."""

    private: RSAPrivateKey

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """As of AgeIdentity."""
        if stanza.kind != "ssh-rsa":
            return None
        (_, tag) = stanza.arguments
        if decode(tag) != hashlib.sha256(_ssh_public(self.private)).digest()[:4]:
            return None
        sha256 = hashes.SHA256()
        scheme = padding.OAEP(padding.MGF1(sha256), sha256, _LABEL + b"ssh-rsa")
        return _of_right_size(self.private.decrypt(stanza.body, scheme))


def read(key: SecretBytes, what: str) -> list[AgeIdentity]:
    """The keys of a key file. Raises InvalidInput when there is none."""
    try:
        found = [_ssh(key.reveal())] if b"-----BEGIN" in key.reveal() else _of_age(key.reveal())
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key is encrypted itself
        found = []
    if not found:
        raise InvalidInput(
            f"the key for {what} is no age key and no SSH private key without a passphrase",
            hint="give a file of age-keygen, or an Ed25519 or RSA key of ssh-keygen",
        )
    return found


def unwrap(stanzas: abc.Iterable[Stanza], identities: abc.Sequence[AgeIdentity]) -> bytes | None:
    """The file key; None when no identity opens any stanza. Raises ValueError when a stanza was changed."""
    found = [identity.unwrap(stanza) for stanza in stanzas for identity in identities]
    return next((file_key for file_key in found if file_key is not None), None)


def _unwrapped(stanza: Stanza, key: bytes) -> bytes | None:
    if len(stanza.body) != _WRAPPED_BYTES:
        raise ValueError
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), stanza.body, None)
    except InvalidTag:
        return None


def _of_right_size(file_key: bytes) -> bytes:
    if len(file_key) != FILE_KEY_BYTES:
        raise ValueError
    return file_key


def _ssh_public(private: Ed25519PrivateKey | RSAPrivateKey) -> bytes:
    """The public key as SSH sends it: the middle word of its line in a file."""
    formats = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return decode(private.public_key().public_bytes(*formats).split()[1].rstrip(b"="))


def _ssh(content: bytes) -> AgeIdentity:
    if b"-----BEGIN OPENSSH PRIVATE KEY-----" in content:
        private: object = serialization.load_ssh_private_key(content, None)
    else:
        private = serialization.load_pem_private_key(content, None)
    if isinstance(private, Ed25519PrivateKey):
        return SshEd25519Identity(private)
    if isinstance(private, RSAPrivateKey):
        return SshRsaIdentity(private)
    raise ValueError


def _of_age(content: bytes) -> list[AgeIdentity]:
    lines = [line.strip() for line in content.decode("ascii").splitlines()]
    return [
        X25519Identity(X25519PrivateKey.from_private_bytes(_bech32(line)))
        for line in lines
        if line.lower().startswith(_PREFIX)
    ]


def _bech32(text: str) -> bytes:
    """The bytes of a Bech32 string (BIP 173) with age's prefix. Raises ValueError."""
    if text not in (text.lower(), text.upper()):
        raise ValueError
    prefix, _, data = text.lower().rpartition("1")
    values = [_BECH32.index(character) for character in data]
    expanded = [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values]
    if prefix != _PREFIX or _polymod(expanded) != 1:
        raise ValueError
    bits = "".join(f"{value:05b}" for value in values[:-6])
    whole = len(bits) // 8 * 8
    if int(bits[whole:] or "0", 2) or len(bits) - whole > 4:
        raise ValueError
    return int(bits[:whole], 2).to_bytes(whole // 8, "big")


def _polymod(values: abc.Iterable[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum
