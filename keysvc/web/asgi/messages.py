"""The bodies of requests and answers. Unknown members are refused; times are RFC 3339, bytes are base64."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from keysvc.errors import ProtocolError
from keysvc.model import (
    MAXIMUM_VERSION,
    Announcement,
    Application,
    Mapping,
    VersionRecord,
    Versions,
    VersionState,
)

MAXIMUM_EPOCH = 2**53 - 1
MAXIMUM_INTERVAL_SECONDS = 366 * 24 * 3600


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all."""


class AnnouncedVersion(Body, frozen=True):
    """One version of an announcement."""

    version: Annotated[int, Meta(ge=1, le=MAXIMUM_VERSION)]
    state: VersionState
    created_at: datetime
    check_value: str


class PollAnswer(Body, frozen=True):
    """The answer to a poll that found something new."""

    system_id: str
    epoch: Annotated[int, Meta(ge=0, le=MAXIMUM_EPOCH)]
    poll_interval_seconds: Annotated[float, Meta(ge=0, le=MAXIMUM_INTERVAL_SECONDS)]
    versions: tuple[AnnouncedVersion, ...]

    @classmethod
    def of(cls, announcement: Announcement) -> PollAnswer:
        """As it is sent."""
        versions = tuple(
            AnnouncedVersion(r.version, r.state, r.created_at, r.check_value) for r in announcement.versions
        )
        seconds = announcement.poll_interval.total_seconds()
        return cls(announcement.system_id, announcement.epoch, seconds, versions)

    def announcement(self, etag: str = "") -> Announcement:
        """As it is used. Raises ProtocolError for an interval that is none."""
        if not 0 < self.poll_interval_seconds <= MAXIMUM_INTERVAL_SECONDS:
            raise ProtocolError("the master secret server sent an impossible poll interval")
        versions = Versions(VersionRecord(v.version, v.state, v.created_at, v.check_value) for v in self.versions)
        interval = timedelta(seconds=self.poll_interval_seconds)
        return Announcement(self.system_id, self.epoch, versions, interval, etag)


class FetchRequest(Body, frozen=True):
    """A fresh public key, and the KEM that it is for."""

    kem: str
    public_key: bytes


class FetchAnswer(Body, frozen=True):
    """A version sealed to that key."""

    sealed: bytes


class Goodbye(Body, frozen=True):
    """A process encrypts no more."""

    instance: str


class AuthorityAnswer(Body, frozen=True):
    """The certificate of the authority: public, and worth nothing until its fingerprint was compared."""

    certificate: str
    system_id: str


class JoinRequest(Body, frozen=True):
    """A join token's secret and a certificate request."""

    secret: str
    request: str


class JoinAnswer(Body, frozen=True):
    """What a machine needs to be an SSO server of this system."""

    name: str
    role: str
    system_id: str
    certificate: str
    mapping_store: str
    poll_interval_seconds: float
    lease_ttl_seconds: float


class EnrolRequest(Body, frozen=True):
    """Ask for a join token."""

    name: str
    role: str


class EnrolAnswer(Body, frozen=True):
    """It is shown once."""

    token: str


class IdentityEntry(Body, frozen=True):
    """One enrolled identity."""

    name: str
    role: str
    serial: str
    enrolled_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None


class TokenEntry(Body, frozen=True):
    """One join token that can be redeemed now; itself it is shown only when it is made."""

    name: str
    role: str
    expires_at: datetime


class TokenPage(Body, frozen=True):
    """Join tokens by name."""

    items: tuple[TokenEntry, ...]


class TokensCancelled(Body, frozen=True):
    """How many join tokens were ended."""

    cancelled: int


class RenewalRequest(Body, frozen=True):
    """A certificate request for a fresh key."""

    request: str


class RenewalAnswer(Body, frozen=True):
    """The certificate for it, of the caller's name and role."""

    certificate: str


class IdentityPage(Body, frozen=True):
    """Identities by name. `next` is the `after` of the next page, null at the end."""

    items: tuple[IdentityEntry, ...]
    next: str | None = None


class RotationAnswer(Body, frozen=True):
    """The version that a rotation leads to, and its state."""

    version: int
    state: VersionState


class RotationChange(Body, frozen=True):
    """What to change of how rotations go; what is absent stays. `max_rows_per_second` 0 lifts the limit."""

    paused: bool | None = None
    max_rows_per_second: int | None = None


class BackupMade(Body, frozen=True):
    """A backup was written and proved."""

    created_at: datetime
    versions: tuple[int, ...]


class CredentialBody(Body, frozen=True):
    """A credential in plain, between an application and its agent. `revision` is the number in its ETag."""

    application: str
    user: str
    external_user: str
    fields: dict[str, str]
    masked: tuple[str, ...]
    version: int
    revision: int

    def __repr__(self) -> str:
        return f"CredentialBody({self.application!r}, {self.user!r})"


class SetCredentialAnswer(Body, frozen=True):
    """The version that encrypted it."""

    version: int


class PurgeAnswer(Body, frozen=True):
    """How many credentials were forgotten."""

    purged: int


class TicketAnswer(Body, frozen=True):
    """Whoever has it may trade it, once."""

    ticket: str
    user: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"TicketAnswer({self.user!r})"


class ConfigInfo(Body, frozen=True):
    """All properties of a bag by label."""

    properties: dict[str, str]

    def __repr__(self) -> str:
        return "ConfigInfo()"


class RevealedBody(Body, frozen=True):
    """One field, in plain."""

    label: str
    value: str

    def __repr__(self) -> str:
        return f"RevealedBody({self.label!r})"


class ApplicationPage(Body, frozen=True):
    """Applications by name. `next` is the `after` of the next page, null at the end."""

    items: tuple[Application, ...]
    next: str | None = None


class MappingPage(Body, frozen=True):
    """Mappings by user. `next` is the `after` of the next page, null at the end."""

    items: tuple[Mapping, ...]
    next: str | None = None


class Changed(Body, frozen=True):
    """How many were changed."""

    changed: int
