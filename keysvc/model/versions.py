"""The versions of the master secret, and what a poll says of them."""

from __future__ import annotations

import hashlib
import hmac
from collections import abc
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from keysvc.errors import InvalidInput, NotConfigured
from keysvc.model.secret_values import SecretBytes

MASTER_SECRET_BYTES = 32
CHECK_VALUE_BYTES = 8
MAXIMUM_VERSION = 2**32 - 1
"""A version has four bytes in every format."""


class VersionState(StrEnum):
    """States of a version; in NIST SP 800-57 terms pre-activation, active, deactivated and destroyed."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRING = "retiring"
    DESTROYED = "destroyed"


class VersionId(NamedTuple):
    """Which version: two parties mean the same one only if its number and its key check value agree."""

    number: int
    check_value: str

    def __str__(self) -> str:
        """As messages name it: `3-0123456789abcdef`."""
        return f"{self.number}-{self.check_value}"

    @classmethod
    def parse(cls, text: str) -> VersionId:
        """Of what `str` made. Raises ValueError."""
        number, _, check_value = text.partition("-")
        return cls(int(number), check_value)


@dataclass(frozen=True, slots=True)
class MasterSecret:
    """One version of the master secret: a 32-byte key-derivation key. `version` is ≥ 1 and never reused."""

    version: int
    created_at: datetime
    material: SecretBytes

    def __post_init__(self) -> None:
        if not 1 <= self.version <= MAXIMUM_VERSION or len(self.material) != MASTER_SECRET_BYTES:
            raise InvalidInput(f"a master secret has a version from 1 to 2^32 - 1, and {MASTER_SECRET_BYTES} bytes")

    @property
    def check_value(self) -> str:
        """Key check value: 8 bytes of HMAC-SHA256(material, label) in hex. Tells keys apart, shows neither."""
        label = b"keysvc key check value v1" + self.version.to_bytes(4, "big")
        return hmac.new(self.material.reveal(), label, hashlib.sha256).digest()[:CHECK_VALUE_BYTES].hex()

    @property
    def id(self) -> VersionId:
        """Number and key check value."""
        return VersionId(self.version, self.check_value)


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """What the mapping store knows of a version: never the secret.

    `completed_at` is when every credential was found under it and a sample of them decrypted: None while the rotation
    to it goes on, and for one that never came to that. `compromised_at` is when it was reported as known to others.
    """

    version: int
    state: VersionState
    created_at: datetime
    check_value: str
    completed_at: datetime | None = None
    compromised_at: datetime | None = None

    @property
    def id(self) -> VersionId:
        """Number and key check value."""
        return VersionId(self.version, self.check_value)

    @property
    def is_live(self) -> bool:
        """Whether it is not destroyed."""
        return self.state is not VersionState.DESTROYED

    def describes(self, secret: MasterSecret) -> bool:
        """Whether `secret` is this very version."""
        return self.version == secret.version and hmac.compare_digest(self.check_value, secret.check_value)


class Versions(tuple[VersionRecord, ...]):
    """Records of versions, ascending by number: all that a mapping store has, or those that a poll announces."""

    __slots__ = ()

    def __new__(cls, records: abc.Iterable[VersionRecord] = ()) -> Versions:
        """Sort `records`."""
        return super().__new__(cls, sorted(records, key=lambda record: record.version))

    @property
    def active(self) -> VersionRecord | None:
        """The one version that encrypts; None before configuration."""
        return next((record for record in self if record.state is VersionState.ACTIVE), None)

    def require_active(self) -> VersionRecord:
        """Return the active version. Raises NotConfigured."""
        active = self.active
        if active is None:
            raise NotConfigured("no master secret has been generated")
        return active

    @property
    def announced(self) -> VersionRecord | None:
        """The version that SSO servers fetch before it becomes active; None while no rotation waits for them."""
        return next((record for record in self if record.state is VersionState.ANNOUNCED), None)

    @property
    def live(self) -> Versions:
        """Those that are not destroyed."""
        return Versions(record for record in self if record.is_live)

    @property
    def destroyed(self) -> frozenset[int]:
        """The numbers of those that are destroyed."""
        return frozenset(record.version for record in self if not record.is_live)

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of all of them."""
        return frozenset(record.version for record in self)

    @property
    def newest(self) -> int:
        """The highest number; 0 when there is none."""
        return self[-1].version if self else 0

    def find(self, number: int) -> VersionRecord | None:
        """Return the version of this number, or None."""
        return next((record for record in self if record.version == number), None)

    def describe(self, secret: MasterSecret) -> bool:
        """Whether one of them, live, is `secret` by number and by key check value."""
        record = self.find(secret.version)
        return record is not None and record.is_live and record.describes(secret)


_STATE_LETTERS = {VersionState.ANNOUNCED: "n", VersionState.ACTIVE: "a", VersionState.RETIRING: "r"}


@dataclass(frozen=True)
class Announcement:
    """What a poll answers: the versions that are not destroyed, ascending, under an epoch. Whoever was told it has
    `received_etag`, which it hands back as it came."""

    system_id: str
    epoch: int
    versions: Versions
    poll_interval: timedelta
    received_etag: str = ""

    @property
    def permission(self) -> timedelta:
        """How long the poll that this answers permits encryption, from before its request."""
        return permission_length(self.poll_interval)

    @cached_property
    def etag(self) -> str:
        """Changes when, and only when, an SSO server has something to do: `"epoch;3r-0123456789abcdef,4a-…,5n-…"`."""
        if self.received_etag:
            return self.received_etag
        versions = ",".join(f"{r.version}{_STATE_LETTERS[r.state]}-{r.check_value}" for r in self.versions)
        return f'"{self.epoch};{versions}"'

    @cached_property
    def _ids(self) -> frozenset[VersionId]:
        return frozenset(record.id for record in self.versions)

    def numbers_of(self, held: abc.Iterable[VersionId]) -> tuple[int, ...]:
        """The numbers of those held that are announced. Another secret under an announced number is not among them."""
        return tuple(version.number for version in held if version in self._ids)

    @property
    def active(self) -> VersionRecord | None:
        """The one version that encrypts; None before configuration."""
        return self.versions.active


def permission_length(poll_interval: timedelta) -> timedelta:
    """Return how long a good poll permits encryption: two poll intervals."""
    return 2 * poll_interval


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """How rotations go. While `paused_at` is set they rest; `max_rows_per_second` is None for as fast as they can."""

    paused_at: datetime | None = None
    max_rows_per_second: int | None = None
