"""The two sealers of the file key store. Both seal with AES-256-GCM (NIST SP 800-38D) under a random 96-bit nonce, with
the entry's header as associated data."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import struct
import threading
from collections import abc
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from keysvc.errors import KeyStoreUnavailable, SealBroken
from keysvc.model import SecretBytes
from keysvc.plugin.interfaces import KeyStoreInfo, Prompt
from keysvc.plugin.safe_files import Unsafe, check_file, create_directory, create_durably
from keysvc.plugin.sealed import check_new_passphrase

KEY_BYTES = 32
NONCE_BYTES = 12
SALT_BYTES = 16
KEY_FILE_WORD = "keysvc-root-key-1"
_MISSING = "put it back from where it is kept, or restore the key store: keysvc secret restore FILE"


class KeyFileSealer:
    """Under a root key in a 0600 file of its own, which is made on first use where nothing was sealed yet."""

    def __init__(self, url: str, key_file: Path, may_create: abc.Callable[[], bool]) -> None:
        self._url = url
        self._key_file = key_file
        self._may_create = may_create

    def info(self) -> KeyStoreInfo:
        """Names the key file."""
        return KeyStoreInfo(self._url, f"key file {self._key_file}", hardware=False, exportable=True)

    def seal(self, secret: SecretBytes, context: bytes) -> bytes:
        """nonce ‖ AES-256-GCM."""
        return _seal(self._root(create=True), secret, context)

    def unseal(self, sealed: bytes, context: bytes) -> SecretBytes:
        """Raises SealBroken, KeyStoreUnavailable."""
        return _unseal(self._root(create=False), sealed, context, "changed, or sealed under another key file")

    def random(self, count: int) -> bytes:
        """The operating system's."""
        return os.urandom(count)

    def close(self) -> None:
        """Nothing is held."""

    def _root(self, *, create: bool) -> bytes:
        try:
            with contextlib.suppress(FileNotFoundError):
                return self._read()
            if not create or not self._may_create():
                raise KeyStoreUnavailable(f"the key file {self._key_file} is missing", hint=_MISSING)
            self._create()
            return self._read()
        except OSError as error:
            raise KeyStoreUnavailable(f"the key file {self._key_file}: {error.strerror}") from None

    def _create(self) -> None:
        """Of two processes one wins, and neither sees half a key."""
        key = os.urandom(KEY_BYTES)
        text = f"{KEY_FILE_WORD} {base64.urlsafe_b64encode(key).decode()} {_checksum(key)}\n"
        create_directory(self._key_file.parent)
        with contextlib.suppress(FileExistsError):
            create_durably(self._key_file, text.encode())

    def _read(self) -> bytes:
        try:
            check_file(self._key_file, secret=True, root_reads=True)
        except Unsafe as unsafe:
            raise KeyStoreUnavailable(f"the key file {unsafe.problem}", hint=unsafe.hint) from None
        words = self._key_file.read_bytes().split(b" ")
        try:
            word, encoded, checksum = words
            key = base64.b64decode(encoded, altchars=b"-_", validate=True)
            whole = word == KEY_FILE_WORD.encode() and len(key) == KEY_BYTES
            if not whole or checksum != f"{_checksum(key)}\n".encode():
                raise ValueError
        except ValueError:
            raise SealBroken(f"the key file {self._key_file} is torn or was changed", hint=_MISSING) from None
        return key


def _checksum(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


class PassphraseSealer:
    """Under a key derived from a passphrase with Argon2id (RFC 9106, second recommendation), and a salt of its own.

    `iterations`, `memory_kib` and `lanes` are for what is sealed from now on; each entry names its own. `is_new` says
    whether nothing was sealed yet: only then the passphrase must be long enough, because an older one must go on.
    """

    _HEADER = struct.Struct(f">B{SALT_BYTES}sIII")
    _FORMAT = 1
    _MAXIMUM = (20, 1024 * 1024, 16)

    def __init__(
        self,
        url: str,
        prompt: Prompt,
        is_new: abc.Callable[[], bool],
        *,
        iterations: int = 3,
        memory_kib: int = 64 * 1024,
        lanes: int = 4,
    ) -> None:
        self._url = url
        self._is_new = is_new
        self._prompt = prompt
        self._cost = (iterations, memory_kib, lanes)
        self._keys: dict[bytes, bytes] = {}
        self._passphrase: bytes | None = None
        self._lock = threading.Lock()

    def info(self) -> KeyStoreInfo:
        """Says that a passphrase opens it."""
        return KeyStoreInfo(self._url, "passphrase", hardware=False, exportable=True)

    def seal(self, secret: SecretBytes, context: bytes) -> bytes:
        """0x01 ‖ salt(16) ‖ iterations, KiB, lanes (uint32 each) ‖ nonce ‖ AES-256-GCM."""
        header = self._HEADER.pack(self._FORMAT, os.urandom(SALT_BYTES), *self._cost)
        return header + _seal(self._key(header), secret, header + context)

    def unseal(self, sealed: bytes, context: bytes) -> SecretBytes:
        """Raises SealBroken, also for a cost that no keysvc would have written."""
        header, rest = sealed[: self._HEADER.size], sealed[self._HEADER.size :]
        if len(header) < self._HEADER.size or header[0] != self._FORMAT:
            raise SealBroken("torn, or of an unknown format")
        cost = self._HEADER.unpack(header)[2:]
        low = any(value < 1 for value in cost) or cost[1] < 8 * cost[2]
        if low or any(value > most for value, most in zip(cost, self._MAXIMUM, strict=True)):
            raise SealBroken("changed: its Argon2id parameters are out of bounds")
        return _unseal(self._key(header), rest, header + context, "wrong passphrase, or changed")

    def random(self, count: int) -> bytes:
        """The operating system's."""
        return os.urandom(count)

    def close(self) -> None:
        """Forget the passphrase and what was derived."""
        with self._lock:
            self._keys.clear()
            self._passphrase = None

    def _key(self, header: bytes) -> bytes:
        with self._lock:
            if header not in self._keys:
                if self._passphrase is None:
                    typed = self._prompt("passphrase")
                    if self._is_new():
                        check_new_passphrase(typed, f"passphrase of {self._url}")
                    self._passphrase = typed.reveal().encode()
                _, salt, iterations, memory, lanes = self._HEADER.unpack(header)
                kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory)
                self._keys[header] = kdf.derive(self._passphrase)
            return self._keys[header]


def _seal(key: bytes, secret: SecretBytes, associated: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret.reveal(), associated)


def _unseal(key: bytes, sealed: bytes, associated: bytes, otherwise: str) -> SecretBytes:
    try:
        return SecretBytes(AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated))
    except (InvalidTag, ValueError):
        raise SealBroken(otherwise) from None
