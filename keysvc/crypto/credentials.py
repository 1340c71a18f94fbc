"""Credentials: AES-256-GCM (NIST SP 800-38D) under a key derived with HKDF-SHA256 (RFC 5869) from one version of the
master secret for one application. docs/formats.md specifies the stored form byte by byte."""

from __future__ import annotations

import os
import struct
from collections import abc
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keysvc.crypto.unreadable import UNREADABLE
from keysvc.errors import CannotDecrypt, InvalidInput
from keysvc.model import Application, EncryptedCredential, Field, MasterSecret, SecretText, VersionId

FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MAXIMUM_FIELD_BYTES = 64 * 1024
_HEADER = struct.Struct(">BI")
_START = _HEADER.size + NONCE_BYTES
_SHORTEST = _START + TAG_BYTES
_KEY_LABEL = b"keysvc credential key v1"


@dataclass(frozen=True, slots=True)
class ApplicationKey:
    """The key of one application under one version, and the associated data before and after the user."""

    name: str
    fields: tuple[Field, ...]
    aead: AESGCM = field(repr=False)
    before: bytes
    after: bytes

    def fits(self, application: Application) -> bool:
        """Whether it is of an application as this one is defined."""
        return self.name == application.name and self.fields == application.fields

    def associated(self, user: str) -> bytes:
        """What binds a credential to its place. Raises InvalidInput for a user that is not Unicode text."""
        return self.before + _prefixed(_text("user", user)) + self.after


class CredentialCipher:
    """Encrypts and decrypts credentials under one version of the master secret in one system. Thread-safe.

    Nonces are random: SP 800-38D allows 2^32 encryptions under one key, which is one application and one version.
    """

    def __init__(self, secret: MasterSecret, system_id: str) -> None:
        self._secret = secret
        self._system_id = system_id
        self.header = _HEADER.pack(FORMAT, secret.version)
        self._keys: dict[str, ApplicationKey] = {}

    def derive(self, info: bytes) -> bytes:
        """A 32-byte key of this version and system, for the purpose that `info` names: HKDF-SHA256 (RFC 5869)."""
        return HKDF(SHA256(), KEY_BYTES, bytes.fromhex(self._system_id), info).derive(self._secret.material.reveal())

    @property
    def version(self) -> int:
        """Of the master secret."""
        return self._secret.version

    @cached_property
    def id(self) -> VersionId:
        """Of the master secret: its number and key check value."""
        return self._secret.id

    @property
    def secret(self) -> MasterSecret:
        """The version itself, for what else is derived from it."""
        return self._secret

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
        except UNREADABLE:
            raise _cannot_decrypt() from None
        return {label: SecretText(value) for label, value in fields.items()}

    def encrypt_plain(self, application: Application, user: str, plain: bytes) -> bytes:
        """As `encrypt`, of fields that are encoded already."""
        key, nonce = self.key(application), os.urandom(NONCE_BYTES)
        return self.header + nonce + key.aead.encrypt(nonce, plain, key.associated(user))

    def decrypt_plain(self, application: Application, user: str, ciphertext: bytes) -> bytes:
        """As `decrypt`, without decoding the fields."""
        if len(ciphertext) < _SHORTEST or not ciphertext.startswith(self.header):
            raise _cannot_decrypt()
        try:
            key = self.key(application)
            return key.aead.decrypt(ciphertext[_HEADER.size : _START], ciphertext[_START:], key.associated(user))
        except (InvalidTag, InvalidInput, ValueError):
            raise _cannot_decrypt() from None

    def key(self, application: Application) -> ApplicationKey:
        """Derived once, and again for an application of another name or other fields. Raises InvalidInput."""
        held = self._keys.get(application.application_id)
        if held is None or not held.fits(application):
            held = self._keys[application.application_id] = self._derive(application)
        return held

    def _derive(self, application: Application) -> ApplicationKey:
        named = self._system_id.encode(), application.application_id.encode(), _text("application", application.name)
        labels = (_text("label", field.label) for field in application.fields[1:])
        return ApplicationKey(
            application.name,
            application.fields,
            AESGCM(self.derive(_KEY_LABEL + application.application_id.encode())),
            before=b"".join(map(_prefixed, named)),
            after=b"".join(map(_prefixed, labels)) + struct.pack(">I", self.version),
        )


class Reencryption:
    """From one version to another, for credentials of one application. Thread-safe.

    Does what `decrypt_plain` and `encrypt_plain` do, at a third of their cost: what is the same for all rows is done
    once, and the nonces of a page are drawn together.
    """

    def __init__(self, old: CredentialCipher, new: CredentialCipher, application: Application) -> None:
        """Raises InvalidInput for an application whose name or labels are not Unicode text."""
        self._old, self._new = old, new
        self._old_key, self._new_key = old.key(application), new.key(application)

    def move(
        self, rows: abc.Sequence[EncryptedCredential]
    ) -> tuple[list[EncryptedCredential], list[EncryptedCredential]]:
        """Those that decrypted, under the new version and of the same revision; and those that did not, as they are."""
        decrypt, encrypt = self._old_key.aead.decrypt, self._new_key.aead.encrypt
        before, after, new_after = self._old_key.before, self._old_key.after, self._new_key.after
        old_header, new_header, version = self._old.header, self._new.header, self._new.version
        nonces = os.urandom(NONCE_BYTES * len(rows))
        moved, failed = [], []
        for number, row in enumerate(rows):
            stored, nonce = row.ciphertext, nonces[NONCE_BYTES * number : NONCE_BYTES * (number + 1)]
            try:
                place = before + _prefixed(row.user.encode())
                if not stored.startswith(old_header):
                    raise InvalidTag
                plain = decrypt(stored[_HEADER.size : _START], stored[_START:], place + after)
            except (InvalidTag, ValueError):
                failed.append(row)
                continue
            ciphertext = new_header + nonce + encrypt(nonce, plain, place + new_after)
            moved.append(EncryptedCredential(row.application, row.user, version, ciphertext, row.revision))
        return moved, failed


def version_of(ciphertext: bytes) -> int:
    """The version that a stored credential names. Raises CannotDecrypt when it is no stored credential."""
    if len(ciphertext) < _SHORTEST:
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
    return len(part).to_bytes(4, "big") + part


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
