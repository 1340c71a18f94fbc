"""The bodies of requests and answers. Unknown members are refused; times are RFC 3339, bytes are base64."""

from __future__ import annotations

import dataclasses
from collections import abc
from datetime import datetime, timedelta
from typing import Annotated, Any, Protocol, Self, runtime_checkable

import msgspec
from msgspec import Meta

from keysvc.errors import ProtocolError
from keysvc.model import (
    MAXIMUM_FIELDS,
    MAXIMUM_VERSION,
    Announcement,
    Application,
    ApplicationType,
    Field,
    Flags,
    Mapping,
    VersionRecord,
    VersionState,
)
from keysvc.sso.permissions import Right

MAXIMUM_MINUTES = 525_600
MAXIMUM_EPOCH = 2**53 - 1
MAXIMUM_INTERVAL_SECONDS = 366 * 24 * 3600
TICKET_FLAGS = frozenset({"allow_tickets", "validate_tickets", "timeout_tickets"})


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

    def announcement(self) -> Announcement:
        """As it is used. Raises ProtocolError for an interval that is none."""
        if not 0 < self.poll_interval_seconds <= MAXIMUM_INTERVAL_SECONDS:
            raise ProtocolError("the master secret server sent an impossible poll interval")
        versions = tuple(VersionRecord(v.version, v.state, v.created_at, v.check_value) for v in self.versions)
        return Announcement(self.system_id, self.epoch, versions, timedelta(seconds=self.poll_interval_seconds))


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


class LookupRequest(Body, frozen=True):
    """By the user id that the application knows. `password` is what that user gave to the host: an application that
    validates passwords demands it."""

    application: Annotated[str, Meta(min_length=1, max_length=256)]
    external_user: Annotated[str, Meta(min_length=1, max_length=256)]
    password: str | None = None

    def __repr__(self) -> str:
        return f"LookupRequest({self.application!r}, {self.external_user!r})"


class SetCredentialRequest(Body, frozen=True):
    """All fields by label. `external_user` makes the mapping when there is none, and changes it when it differs."""

    fields: dict[str, str]
    external_user: str | None = None

    def __repr__(self) -> str:
        return "SetCredentialRequest()"


class SetCredentialAnswer(Body, frozen=True):
    """The version that encrypted it."""

    version: int


class PurgeAnswer(Body, frozen=True):
    """How many credentials were forgotten."""

    purged: int


class TicketRequest(Body, frozen=True):
    """For `user`, or for the caller itself."""

    user: str | None = None


class TicketAnswer(Body, frozen=True):
    """Whoever has it may trade it, once."""

    ticket: str
    user: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"TicketAnswer({self.user!r})"


class RedeemRequest(Body, frozen=True):
    """`sender` is whom the ticket came from: an application that validates tickets demands it."""

    application: Annotated[str, Meta(min_length=1, max_length=256)]
    ticket: str
    sender: str | None = None

    def __repr__(self) -> str:
        return f"RedeemRequest({self.application!r})"


class ConfigInfo(Body, frozen=True):
    """All properties of a bag by label."""

    properties: dict[str, str]

    def __repr__(self) -> str:
        return "ConfigInfo()"


class ApplicationPage(Body, frozen=True):
    """Applications by name. `next` is the `after` of the next page, null at the end."""

    items: tuple[Application, ...]
    next: str | None = None


class MappingPage(Body, frozen=True):
    """Mappings by user. `next` is the `after` of the next page, null at the end."""

    items: tuple[Mapping, ...]
    next: str | None = None


# -- administration at an agent ------------------------------------------------------------------------------------

Account = Annotated[str, Meta(min_length=1, max_length=256)]
AccountList = Annotated[tuple[Account, ...], Meta(max_length=1000)]


@runtime_checkable
class NeedsRights(Protocol):
    """A body that asks for several things."""

    def rights(self) -> abc.Iterator[Right]:
        """Those that just this one needs."""


class NewField(Body, frozen=True):
    """A field as `model.Field` has it; unknown members are refused here as well."""

    label: str
    masked: bool

    @classmethod
    def of(cls, field: Field) -> Self:
        """As it is sent."""
        return cls(field.label, field.masked)


class NewFlags(Body, frozen=True, kw_only=True):
    """The flags as `model.Flags` has them; unknown members are refused here as well."""

    enabled: bool = False
    host_initiated: bool = False
    windows_initiated: bool = True
    validate_password: bool = True
    disable_credential_cache: bool = False
    allow_tickets: bool = False
    validate_tickets: bool = True
    timeout_tickets: bool = True
    allow_local_accounts: bool = False
    administrators_same: bool = False
    direct_password_sync: bool = False

    @classmethod
    def of(cls, flags: Flags) -> Self:
        """As they are sent."""
        return cls(**dataclasses.asdict(flags))


class CreateApplicationRequest(Body, frozen=True):
    """`fields[0]` is the external user id. Flags of tickets, and a time-out of its own, need the right to set these."""

    fields: Annotated[tuple[NewField, ...], Meta(min_length=1, max_length=MAXIMUM_FIELDS)]
    type: ApplicationType = ApplicationType.INDIVIDUAL
    flags: NewFlags | None = None
    description: str = ""
    contact: str = ""
    user_accounts: AccountList = ()
    administrator_accounts: AccountList = ()
    ticket_timeout_minutes: Annotated[int, Meta(ge=1, le=MAXIMUM_MINUTES)] | None = None

    def rights(self) -> abc.Iterator[Right]:
        """Naming its accounts is part of creating it."""
        yield Right.CREATE_APPLICATION
        if self.ticket_timeout_minutes is not None or _of_tickets(self.flags or NewFlags()) != _of_tickets(NewFlags()):
            yield Right.SET_TICKETS

    def arguments(self) -> dict[str, Any]:
        """Those of `create_application`."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        given["fields"] = tuple(Field(field.label, field.masked) for field in self.fields)
        given["flags"] = Flags(**msgspec.structs.asdict(self.flags or NewFlags()))
        return {"type_": given.pop("type"), **given}

    def describes(self, application: Application) -> bool:
        """Whether it would create just that."""
        return all(getattr(application, name.rstrip("_")) == value for name, value in self.arguments().items())


class ApplicationChange(Body, frozen=True):
    """What is absent stays. `flags` by their names; `ticket_timeout_minutes` 0 takes the system's."""

    flags: dict[str, bool] | None = None
    description: str | None = None
    contact: str | None = None
    user_accounts: AccountList | None = None
    administrator_accounts: AccountList | None = None
    ticket_timeout_minutes: Annotated[int, Meta(ge=0, le=MAXIMUM_MINUTES)] | None = None

    def rights(self) -> abc.Iterator[Right]:
        """To change nothing needs the right to see it."""
        yield Right.SEE_APPLICATION
        if (self.flags or {}).keys() - TICKET_FLAGS or (self.description, self.contact) != (None, None):
            yield Right.CHANGE_APPLICATION
        if (self.flags or {}).keys() & TICKET_FLAGS or self.ticket_timeout_minutes is not None:
            yield Right.SET_TICKETS
        if self.user_accounts is not None:
            yield Right.NAME_USERS
        if self.administrator_accounts is not None:
            yield Right.NAME_ADMINISTRATORS

    def arguments(self) -> dict[str, Any]:
        """Those of `change_application`."""
        return {**{name: getattr(self, name) for name in self.__struct_fields__}, "flags": self.flags or {}}


def _of_tickets(flags: NewFlags) -> list[bool]:
    return [getattr(flags, name) for name in sorted(TICKET_FLAGS)]


class MappingRequest(Body, frozen=True):
    """The user id that the application knows. A mapping that is there stays as enabled as it is, unless `enable`."""

    external_user: Annotated[str, Meta(min_length=1, max_length=256)]
    enable: bool = False


class Enabled(Body, frozen=True):
    """Whether it is, from now on."""

    enabled: bool


class Changed(Body, frozen=True):
    """How many were changed."""

    changed: int
