"""Files that were encrypted with age (https://age-encryption.org; the specification is C2SP's age.md): the container,
and the scrypt recipient of a passphrase. `age_keys` has the recipients of keys."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keysvc.errors import BackupError, InvalidInput, WrongPassphrase
from keysvc.model import SecretBytes, SecretText

WORK_FACTOR = 18
"""log2 of scrypt's N in what is written: age's own default; 256 MiB of memory and about a second for each guess."""
MAXIMUM_WORK_FACTOR = 22
"""The highest that is read, as by age itself: 4 GiB of memory."""

FILE_KEY_BYTES = 16
_VERSION = b"age-encryption.org/v1"
_BEGIN, _END = b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----END AGE ENCRYPTED FILE-----"
_BODY = rb"(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n"
_STANZA = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)\n(%b)" % _BODY)
_HEADER = re.compile(rb"%b\n(?:-> [!-~]+(?: [!-~]+)*\n%b)+---(?= ([A-Za-z0-9+/]{43})\n)" % (re.escape(_VERSION), _BODY))
_SALT_BYTES = _NONCE_BYTES = 16
_CHUNK_BYTES = 64 * 1024
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Stanza:
    """A recipient stanza: the file key, wrapped for one recipient."""

    arguments: tuple[str, ...]
    body: bytes

    @property
    def kind(self) -> str:
        """The type of the recipient: "scrypt", "X25519", …"""
        return self.arguments[0]


@dataclass(frozen=True, slots=True)
class AgeFile:
    """A parsed file. `header` is what its MAC is of."""

    stanzas: tuple[Stanza, ...]
    header: bytes
    mac: bytes
    payload: bytes

    @property
    def work_factor(self) -> int | None:
        """log2 of scrypt's N; None when the file is not for a passphrase."""
        return _scrypt_parameters(self.stanzas[0])[1] if self.stanzas[0].kind == "scrypt" else None

    def opened_with(self, file_key: bytes) -> bytes:
        """The content. Raises ValueError when the header or the payload is not what was written."""
        try:
            _mac(file_key, self.header).verify(self.mac)
            return _decrypt_payload(file_key, self.payload)
        except (InvalidSignature, InvalidTag):
            raise ValueError from None


def is_encrypted(content: bytes) -> bool:
    """Whether this is an age file, armoured or not."""
    return content.lstrip().startswith((b"age-encryption.org/", _BEGIN))


def parse(content: bytes, what: str) -> AgeFile:
    """Parse a file, armoured or not, and open nothing. Raises InvalidInput when `what` is torn or was changed."""
    try:
        return _parse(_without_armour(content) if content.lstrip().startswith(_BEGIN) else content)
    except ValueError:
        raise changed(what) from None


def work_factor(content: bytes, what: str) -> int | None:
    """log2 of scrypt's N, read before anything is opened; None when `what` is not for a passphrase.

    Raises BackupError above MAXIMUM_WORK_FACTOR; InvalidInput when `what` is torn or was changed.
    """
    return _bounded_work_factor(parse(content, what), what)


def encrypt(content: bytes, passphrase: SecretText, *, work_factor: int = WORK_FACTOR) -> bytes:
    """Encrypt for a passphrase, armoured. Raises InvalidInput for a passphrase that is not text.

    `work_factor` is lower only in tests: the default costs each of them a second.
    """
    secret = _encoded(passphrase)
    if secret is None:
        raise InvalidInput("the passphrase is not Unicode text")
    file_key, salt, nonce = os.urandom(FILE_KEY_BYTES), os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    wrapped = ChaCha20Poly1305(_scrypt(secret, salt, work_factor)).encrypt(bytes(12), file_key, None)
    header = b"%b\n-> scrypt %b %d\n%b\n---" % (_VERSION, _encode(salt), work_factor, _encode(wrapped))
    mac = _mac(file_key, header).finalize()
    cipher = ChaCha20Poly1305(derive(file_key, nonce, b"payload"))
    chunks = [content[at : at + _CHUNK_BYTES] for at in range(0, len(content), _CHUNK_BYTES)] or [b""]
    sealed = (
        cipher.encrypt(_chunk_nonce(number, last=number == len(chunks) - 1), chunk, None)
        for number, chunk in enumerate(chunks)
    )
    return _armoured(header + b" " + _encode(mac) + b"\n" + nonce + b"".join(sealed))


def decrypt(content: bytes, passphrase: SecretText, what: str) -> bytes:
    """Decrypt what a passphrase opens.

    Raises WrongPassphrase; BackupError when the work factor is above MAXIMUM_WORK_FACTOR or the memory is not there;
    InvalidInput when `what` is torn or was changed.
    """
    file = parse(content, what)
    factor = _bounded_work_factor(file, what)
    if factor is None:
        raise WrongPassphrase(f"{what} is encrypted for a key, not for a passphrase", hint="give the key that opens it")
    secret = _encoded(passphrase)
    if secret is None:
        raise WrongPassphrase(f"the passphrase does not open {what}")
    salt, _ = _scrypt_parameters(file.stanzas[0])
    try:
        wrapping = _scrypt(secret, salt, factor)
    except MemoryError:
        raise BackupError(
            f"the work factor of {what} is 2^{factor}: opening it needs {memory_mib(factor):,} MiB of free memory",
            hint="open it on a machine with more memory",
        ) from None
    try:
        file_key = ChaCha20Poly1305(wrapping).decrypt(bytes(12), file.stanzas[0].body, None)
    except InvalidTag:
        raise WrongPassphrase(f"the passphrase does not open {what}") from None
    return opened(file, file_key, what)


def decrypt_with_key(content: bytes, key: SecretBytes, what: str) -> bytes:
    """Decrypt what a key opens: `key` is the content of an age key file, or of an SSH private key.

    Raises WrongPassphrase when another key is needed; InvalidInput when `key` is none, or `what` is torn.
    """
    from keysvc.crypto import age_keys

    identities = age_keys.read(key, what)
    file = parse(content, what)
    try:
        file_key = age_keys.unwrap(file.stanzas, identities)
    except ValueError:
        raise changed(what) from None
    if file_key is None:
        raise WrongPassphrase(f"the key does not open {what}")
    return opened(file, file_key, what)


def opened(file: AgeFile, file_key: bytes, what: str) -> bytes:
    """The content. Raises InvalidInput when `what` is torn or was changed."""
    try:
        return file.opened_with(file_key)
    except ValueError:
        raise changed(what) from None


def changed(what: str) -> InvalidInput:
    """The error for a file that is not as age wrote it."""
    return InvalidInput(f"{what} is torn or was changed", hint="copy or encrypt it again")


def memory_mib(work_factor: int) -> int:
    """How much memory scrypt needs: 128 · r · N bytes, with age's r = 8."""
    return (1 << work_factor) // 1024


def decode(text: bytes | str) -> bytes:
    """Canonical base64 without padding. Raises ValueError."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    value = base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    if _encode(value) != raw:
        raise ValueError
    return value


def derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    """32 bytes by HKDF-SHA256."""
    return HKDF(hashes.SHA256(), 32, salt=salt, info=info).derive(key)


def _encoded(passphrase: SecretText) -> bytes | None:
    """None unless it is Unicode that can be encoded: age takes no other."""
    try:
        return passphrase.reveal().encode("utf-8")
    except UnicodeEncodeError:  # holds the passphrase: it must not become the context of the error that is raised
        return None


def _encode(value: bytes) -> bytes:
    return base64.b64encode(value).rstrip(b"=")


def _without_armour(content: bytes) -> bytes:
    text = content.strip(b" \t\r\n").replace(b"\r\n", b"\n")
    lines = text.split(b"\n")
    if lines[0] != _BEGIN or lines[-1] != _END:
        raise ValueError
    body = lines[1:-1]
    if any(len(line) != 64 for line in body[:-1]) or (body and not 0 < len(body[-1]) <= 64):
        raise ValueError
    encoded = b"".join(body)
    decoded = base64.b64decode(encoded, validate=True)
    if base64.b64encode(decoded) != encoded:
        raise ValueError
    return decoded


def _armoured(content: bytes) -> bytes:
    encoded = base64.b64encode(content)
    lines = [encoded[at : at + 64] for at in range(0, len(encoded), 64)]
    return b"\n".join([_BEGIN, *lines, _END, b""])


def _parse(content: bytes) -> AgeFile:
    found = _HEADER.match(content)
    if found is None:
        raise ValueError
    stanzas = tuple(
        Stanza(tuple(stanza[1].decode("ascii").split(" ")), decode(stanza[2].replace(b"\n", b"")))
        for stanza in _STANZA.finditer(found[0], len(_VERSION) + 1)
    )
    if len(stanzas) > 1 and any(stanza.kind == "scrypt" for stanza in stanzas):
        raise ValueError
    file = AgeFile(stanzas, found[0], decode(found[1]), content[found.end() + 45 :])
    _ = file.work_factor  # raises ValueError
    return file


def _bounded_work_factor(file: AgeFile, what: str) -> int | None:
    factor = file.work_factor
    if factor is not None and factor > MAXIMUM_WORK_FACTOR:
        raise BackupError(
            f"the work factor of {what} is 2^{factor}, and keysvc opens at most 2^{MAXIMUM_WORK_FACTOR}",
            hint="decrypt it with a program that has no such limit, and encrypt it again with a lower work factor",
        )
    return factor


def _scrypt_parameters(stanza: Stanza) -> tuple[bytes, int]:
    """Salt and work factor. Raises ValueError."""
    _, salt, factor = stanza.arguments
    if len(decode(salt)) != _SALT_BYTES or len(stanza.body) != FILE_KEY_BYTES + _TAG_BYTES:
        raise ValueError
    if not re.fullmatch("[1-9][0-9]{0,18}", factor):
        raise ValueError
    return decode(salt), int(factor)


def _scrypt(passphrase: bytes, salt: bytes, work_factor: int) -> bytes:
    return Scrypt(b"age-encryption.org/v1/scrypt" + salt, 32, 1 << work_factor, 8, 1).derive(passphrase)


def _mac(file_key: bytes, header: bytes) -> hmac.HMAC:
    found = hmac.HMAC(derive(file_key, b"", b"header"), hashes.SHA256())
    found.update(header)
    return found


def _chunk_nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _decrypt_payload(file_key: bytes, payload: bytes) -> bytes:
    """Raises InvalidTag; ValueError when it ends too early, or in a chunk of nothing."""
    nonce, sealed = payload[:_NONCE_BYTES], payload[_NONCE_BYTES:]
    size = _CHUNK_BYTES + _TAG_BYTES
    cipher = ChaCha20Poly1305(derive(file_key, nonce, b"payload"))
    chunks = [sealed[at : at + size] for at in range(0, len(sealed), size)]
    if not chunks or (len(chunks) > 1 and len(chunks[-1]) <= _TAG_BYTES):
        raise ValueError
    return b"".join(
        cipher.decrypt(_chunk_nonce(number, last=number == len(chunks) - 1), chunk, None)
        for number, chunk in enumerate(chunks)
    )
