"""Credentials: AES-256-GCM (NIST SP 800-38D) under a key derived with HKDF-SHA256 (RFC 5869) from one version of the
master secret for one application. docs/formats.md specifies the stored form byte by byte."""

from __future__ import annotations

import functools
import os
import struct
from collections import abc

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keysvc.errors import CannotDecrypt, InvalidInput
from keysvc.model import Application, MasterSecret, SecretText

FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MAXIMUM_FIELD_BYTES = 64 * 1024
_HEADER = struct.Struct(">BI")
_KEY_LABEL = b"keysvc credential key v1"


class CredentialCipher:
    """Encrypts and decrypts credentials under one version of the master secret in one system. Thread-safe.

    Nonces are random: SP 800-38D allows 2^32 encryptions under one key, which is one application and one version.
    """

    def __init__(self, secret: MasterSecret, system_id: str) -> None:
        self._secret = secret
        self._system_id = system_id
        self._aead = functools.cache(self._derive)
        self._context = functools.cache(self._context_of_application)

    @property
    def version(self) -> int:
        """Of the master secret."""
        return self._secret.version

    def encrypt(self, application: Application, user: str, fields: abc.Mapping[str, SecretText]) -> bytes:
        """The stored form. Raises InvalidInput for a field that the application lacks, or one above 64 KiB."""
        labels = {field.label for field in application.fields[1:]}
        for label, value in fields.items():
            if label not in labels:
                raise InvalidInput(f"{application.name} has no field {label!r}")
            size = _utf8_size(value)
            if size is None:
                raise InvalidInput(f"field {label!r} is not Unicode text")
            if size > MAXIMUM_FIELD_BYTES:
                raise InvalidInput(f"field {label!r} is larger than {MAXIMUM_FIELD_BYTES} bytes")
        plain = msgspec.json.encode({label: fields[label].reveal() for label in sorted(fields)})
        return self.encrypt_plain(application, user, plain)

    def decrypt(self, application: Application, user: str, ciphertext: bytes) -> dict[str, SecretText]:
        """The fields. Raises CannotDecrypt, whatever the cause is."""
        plain = self.decrypt_plain(application, user, ciphertext)
        try:
            fields = msgspec.json.decode(plain, type=dict[str, str])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise _cannot_decrypt() from None
        return {label: SecretText(value) for label, value in fields.items()}

    def encrypt_plain(self, application: Application, user: str, plain: bytes) -> bytes:
        """As `encrypt`, of fields that are encoded already."""
        nonce = os.urandom(NONCE_BYTES)
        header = _HEADER.pack(FORMAT, self.version)
        sealed = self._aead(application.application_id).encrypt(nonce, plain, self._associated(application, user))
        return header + nonce + sealed

    def decrypt_plain(self, application: Application, user: str, ciphertext: bytes) -> bytes:
        """As `decrypt`, without decoding the fields."""
        if version_of(ciphertext) != self.version:
            raise _cannot_decrypt()
        start = _HEADER.size + NONCE_BYTES
        try:
            return self._aead(application.application_id).decrypt(
                ciphertext[_HEADER.size : start], ciphertext[start:], self._associated(application, user)
            )
        except (InvalidTag, InvalidInput, ValueError):
            raise _cannot_decrypt() from None

    def _associated(self, application: Application, user: str) -> bytes:
        labels = tuple(field.label for field in application.fields[1:])
        before, after = self._context(application.application_id, application.name, labels)
        return before + _prefixed(_text("user", user)) + after

    def _context_of_application(self, application_id: str, name: str, labels: tuple[str, ...]) -> tuple[bytes, bytes]:
        before = b"".join(
            map(_prefixed, (self._system_id.encode(), application_id.encode(), _text("application", name)))
        )
        after = b"".join(_prefixed(_text("label", label)) for label in labels) + struct.pack(">I", self.version)
        return before, after

    def _derive(self, application_id: str) -> AESGCM:
        info = _KEY_LABEL + application_id.encode()
        salt = bytes.fromhex(self._system_id)
        return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, info).derive(self._secret.material.reveal()))


def reencrypt(
    old: CredentialCipher, new: CredentialCipher, application: Application, user: str, ciphertext: bytes
) -> bytes:
    """Decrypt with `old`, encrypt with `new`. Raises CannotDecrypt."""
    return new.encrypt_plain(application, user, old.decrypt_plain(application, user, ciphertext))


def version_of(ciphertext: bytes) -> int:
    """The version that a stored credential names. Raises CannotDecrypt when it is no stored credential."""
    if len(ciphertext) < _HEADER.size + NONCE_BYTES + TAG_BYTES:
        raise _cannot_decrypt()
    written: int
    version: int
    written, version = _HEADER.unpack_from(ciphertext)
    if written != FORMAT or version < 1:
        raise _cannot_decrypt()
    return version


def _cannot_decrypt() -> CannotDecrypt:
    return CannotDecrypt("a credential does not decrypt: its row was changed or moved, or is of another key")


def _prefixed(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part


def _utf8_size(value: SecretText) -> int | None:
    try:
        return len(value.reveal().encode("utf-8"))
    except UnicodeEncodeError:  # holds the value: it must not become the context of the error that the caller raises
        return None


def _text(what: str, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(f"the {what} is not Unicode text") from None
