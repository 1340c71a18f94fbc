"""The chain of an audit trail, and its seal. docs/decisions/0007-the-audit-trail.md says why it is made so.

Each entry is linked to the one before by SHA-256; the end of the chain is authenticated by HMAC-SHA256 under a key
derived from the master secret. docs/formats.md has both byte by byte.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections import abc
from dataclasses import dataclass, field
from datetime import UTC

from keysvc.model import AuditEntry, AuditTrail, SecretBytes

LINK_BYTES = 32
START = bytes(LINK_BYTES)
"""What the first entry of a trail is linked to."""
_NUMBER = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Where one trail begins and ends, and how far it is authenticated.

    Entries up to `base_sequence` were pruned, the last of them had the link `base_link`; the newest is `sequence`.
    `mac` authenticates base and `sealed_sequence` with its link under `sealed_version`, which is 0 before the first.
    """

    trail: AuditTrail
    base_sequence: int = 0
    base_link: bytes = field(default=START, repr=False)
    sequence: int = 0
    link: bytes = field(default=START, repr=False)
    sealed_sequence: int = 0
    sealed_link: bytes = field(default=START, repr=False)
    sealed_version: int = 0
    mac: bytes = field(default=b"", repr=False)

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever written into it, nor sealed."""
        return self.sealed_version == 0 and self.sequence == 0 and self.base_sequence == 0

    def sealed_content(self, system_id: str) -> bytes:
        """What `mac` authenticates."""
        return b"".join(
            (
                _prefixed(system_id.encode()),
                _prefixed(self.trail.encode()),
                _NUMBER.pack(self.base_sequence),
                _prefixed(self.base_link),
                _NUMBER.pack(self.sealed_sequence),
                _prefixed(self.sealed_link),
            )
        )


class AuditKeys:
    """The keys that authenticate audit trails, by version of the master secret. They open nothing else."""

    __slots__ = ("_keys", "_system_id")

    def __init__(self, system_id: str, keys: abc.Mapping[int, SecretBytes]) -> None:
        self._system_id = system_id
        self._keys = dict(keys)

    def __repr__(self) -> str:
        return f"AuditKeys(of versions {sorted(self._keys)})"

    def __contains__(self, version: object) -> bool:
        return version in self._keys

    def mac(self, head: AuditHead) -> bytes:
        """Authenticates what `head` says is sealed, under its `sealed_version`, which must be held."""
        return hmac.digest(self._keys[head.sealed_version].reveal(), head.sealed_content(self._system_id), "sha256")

    def authenticates(self, head: AuditHead) -> bool:
        """Whether the seal of `head` was made with one of these keys."""
        return head.sealed_version in self._keys and hmac.compare_digest(head.mac, self.mac(head))


def link(previous: bytes, entry: AuditEntry) -> bytes:
    """The link of `entry`, which follows the entry with the link `previous`."""
    parts = (
        previous,
        _NUMBER.pack(entry.sequence),
        entry.at.astimezone(UTC).isoformat(timespec="microseconds").encode(),
        _text(entry.actor),
        _text(entry.action),
        _text(entry.subject),
        _text(entry.origin),
        _text(entry.result),
        json.dumps(dict(entry.detail), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode(),
    )
    return hashlib.sha256(b"keysvc audit link v1" + b"".join(map(_prefixed, parts))).digest()


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _prefixed(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part
