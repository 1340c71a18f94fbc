"""What the tests of several modules of crypto need."""

from __future__ import annotations

import base64
import json
import os
from collections import abc
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture(scope="session")
def vectors() -> abc.Callable[[str], Any]:
    return lambda name: json.loads((VECTORS / name).read_text("utf-8"))


def write_age(plaintext: bytes, passphrase: str, work: int = 4) -> bytes:
    """An armored age file, from the specification (C2SP, age.md), with so little scrypt that a test may open many."""

    def b64(value: bytes) -> bytes:
        return base64.b64encode(value).rstrip(b"=")

    def derive(salt: bytes, info: bytes) -> bytes:
        return HKDF(hashes.SHA256(), 32, salt=salt, info=info).derive(file_key)

    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapping = Scrypt(b"age-encryption.org/v1/scrypt" + salt, 32, 1 << work, 8, 1).derive(passphrase.encode())
    body = ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)
    stanza = b"-> scrypt %b %d\n%b\n" % (b64(salt), work, b64(body))
    header = b"age-encryption.org/v1\n" + stanza + b"---"
    mac = hmac.HMAC(derive(b"", b"header"), hashes.SHA256())
    mac.update(header)
    assert len(plaintext) <= 64 * 1024  # one chunk
    payload = ChaCha20Poly1305(derive(nonce, b"payload")).encrypt(bytes(11) + b"\x01", plaintext, None)
    whole = base64.b64encode(header + b" " + b64(mac.finalize()) + b"\n" + nonce + payload)
    lines = [whole[at : at + 64] for at in range(0, len(whole), 64)]
    return b"\n".join([b"-----BEGIN AGE ENCRYPTED FILE-----", *lines, b"-----END AGE ENCRYPTED FILE-----", b""])


@pytest.fixture(scope="session")
def age_file() -> abc.Callable[[bytes, str], bytes]:
    return write_age
