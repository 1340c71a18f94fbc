"""Tickets: who may be signed on, for a short while, under HMAC-SHA256 (RFC 2104) with a key derived from one version of
the master secret. docs/formats.md specifies them byte by byte."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import AccessDenied, InvalidInput
from keysvc.model import SecretText

PREFIX = "keysvc-ticket-1."
FORMAT = 1
ASK_AGAIN = "ask for a new one: keysvc ticket issue"
ID_BYTES = 16
TAG_BYTES = 32
MAXIMUM_NAME_BYTES = 4 * 256
_LABEL = b"keysvc ticket key v1"
_HEADER = struct.Struct(f">BI{ID_BYTES}sQQ")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a ticket says: `requester` asked for it, so that `user` is signed on. Times are whole seconds."""

    ticket_id: bytes
    user: str
    requester: str
    issued_at: datetime
    expires_at: datetime


def sign(cipher: CredentialCipher, claims: Claims) -> SecretText:
    """The ticket, under the version of `cipher`. Raises InvalidInput."""
    issued, expires = int(claims.issued_at.timestamp()), int(claims.expires_at.timestamp())
    content = _HEADER.pack(FORMAT, cipher.version, claims.ticket_id, issued, expires)
    content += _named(claims.user) + _named(claims.requester)
    tag = hmac.digest(cipher.derive(_LABEL), content, hashlib.sha256)
    return SecretText(PREFIX + base64.urlsafe_b64encode(content + tag).decode().rstrip("="))


def version_of(ticket: SecretText) -> int:
    """The version that a ticket names. Raises AccessDenied when it is none."""
    version: int = _HEADER.unpack_from(_decoded(ticket))[1]
    return version


def verify(cipher: CredentialCipher, ticket: SecretText) -> Claims:
    """What it says. Raises AccessDenied unless it was signed under the version of `cipher`, in this system."""
    decoded = _decoded(ticket)
    content, tag = decoded[:-TAG_BYTES], decoded[-TAG_BYTES:]
    if not hmac.compare_digest(tag, hmac.digest(cipher.derive(_LABEL), content, hashlib.sha256)):
        raise _invalid()
    written, version, ticket_id, issued, expires = _HEADER.unpack_from(content)
    if written != FORMAT or version != cipher.version:
        raise _invalid()
    try:
        user, rest = _name_of(content[_HEADER.size :])
        requester, _ = _name_of(rest)
        times = datetime.fromtimestamp(issued, UTC), datetime.fromtimestamp(expires, UTC)
    except (struct.error, ValueError, OverflowError, OSError):  # signed by something else that has the secret
        raise _invalid() from None
    return Claims(ticket_id, user, requester, *times)


def _decoded(ticket: SecretText) -> bytes:
    text = ticket.reveal()
    try:
        if not text.startswith(PREFIX):
            raise _invalid()
        body = text.removeprefix(PREFIX).encode("ascii")
        decoded = base64.b64decode(body + b"=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _invalid() from None
    if len(decoded) < _HEADER.size + 2 * _LENGTH.size + TAG_BYTES:
        raise _invalid()
    return decoded


def _invalid() -> AccessDenied:
    return AccessDenied("this is no ticket of this system, or it was changed", hint=ASK_AGAIN)


def _named(name: str) -> bytes:
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput("the user of a ticket is not Unicode text") from None
    if len(encoded) > MAXIMUM_NAME_BYTES:
        raise InvalidInput("the user of a ticket has too long a name")
    return _LENGTH.pack(len(encoded)) + encoded


def _name_of(content: bytes) -> tuple[str, bytes]:
    (length,) = _LENGTH.unpack_from(content)
    end = _LENGTH.size + length
    return content[_LENGTH.size : end].decode("utf-8"), content[end:]
