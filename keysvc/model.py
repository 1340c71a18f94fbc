"""Values: frozen, without I/O, without cryptography beyond the standard library's.

Times are aware UTC. A `revision` is only ever compared for equality. `Mapping` is a user's mapping of an affiliate
application; the standard library's is written `abc.Mapping`.
"""

from __future__ import annotations

import hashlib
import hmac
import platform
from collections import abc
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Generic, NoReturn, TypeVar

from keysvc import names
from keysvc.errors import InvalidInput

MASTER_SECRET_BYTES = 32
CHECK_VALUE_BYTES = 8
MAXIMUM_VERSION = 2**32 - 1
"""A version has four bytes in every format."""
MAXIMUM_FIELDS = 1024
"""Of an application, the external user id included. A config store has a field for each setting."""

_Hidden = TypeVar("_Hidden", bytes, str)


class _Secret(Generic[_Hidden]):
    """Holds a secret that only `reveal()` shows: not repr, not str, not asdict, not pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: _Hidden) -> None:
        self._value: _Hidden = value

    def reveal(self) -> _Hidden:
        """The secret itself. Search a code review for this word."""
        return self._value

    def _comparable(self) -> bytes:
        return self._value if isinstance(self._value, bytes) else str(self._value).encode("utf-8", "surrogatepass")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return hmac.compare_digest(self._comparable(), other._comparable())

    __hash__ = None  # type: ignore[assignment]  # a hash would let a secret be guessed from a dictionary's order

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __copy__(self) -> _Secret[_Hidden]:
        return self

    def __deepcopy__(self, _memo: object) -> _Secret[_Hidden]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled")


class SecretBytes(_Secret[bytes]):
    """Key material. Compared in constant time."""

    __slots__ = ()


class SecretText(_Secret[str]):
    """A password or a credential field. Compared in constant time."""

    __slots__ = ()


# -- the master secret ---------------------------------------------------------------------------------------------


class VersionState(StrEnum):
    """States of a version; in NIST SP 800-57 terms pre-activation, active, deactivated and destroyed."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRING = "retiring"
    DESTROYED = "destroyed"


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

    def describes(self, secret: MasterSecret) -> bool:
        """Whether `secret` is this very version."""
        return self.version == secret.version and hmac.compare_digest(self.check_value, secret.check_value)


_STATE_LETTERS = {VersionState.ANNOUNCED: "n", VersionState.ACTIVE: "a", VersionState.RETIRING: "r"}


@dataclass(frozen=True)
class Announcement:
    """What a poll answers: the versions that are not destroyed, ascending, under an epoch."""

    system_id: str
    epoch: int
    versions: tuple[VersionRecord, ...]
    poll_interval: timedelta

    @cached_property
    def etag(self) -> str:
        """Changes when, and only when, an SSO server has something to do: `"epoch;3r,4a,5n"`."""
        versions = ",".join(f"{record.version}{_STATE_LETTERS[record.state]}" for record in self.versions)
        return f'"{self.epoch};{versions}"'

    @property
    def active(self) -> VersionRecord | None:
        """The one version that encrypts; None before configuration."""
        return next((record for record in self.versions if record.state is VersionState.ACTIVE), None)


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """How rotations go. While `paused_at` is set they rest; `max_rows_per_second` is None for as fast as they can."""

    paused_at: datetime | None = None
    max_rows_per_second: int | None = None


# -- the system ----------------------------------------------------------------------------------------------------


class NameRule(StrEnum):
    """Which names are one: those of one key, folded or not (`keysvc.names.key`)."""

    FOLDED = "folded"
    EXACT = "exact"

    def key(self, name: str) -> str:
        """Return what `name` is compared by."""
        return names.key(name, folded=self is NameRule.FOLDED)


@dataclass(frozen=True, slots=True)
class Settings:
    """System-wide settings, as Enterprise SSO's global info has them, the levels of the audit (0 to 3), whether the
    system is `enabled`: look-ups and changes are refused otherwise; and which `names` are one. Time-outs in minutes,
    audit sizes in rows; 0 rows is no bound."""

    administrators: str = ""
    affiliate_administrators: str = ""
    secret_server: str = ""
    ticket_timeout_minutes: int = 2
    credential_cache_minutes: int = 60
    audit_deleted_applications: int = 1000
    audit_deleted_mappings: int = 1000
    audit_credential_lookups: int = 1000
    audit_changes: int = 100_000
    audit_members: int = 100_000
    audit_positive_level: int = 0
    audit_negative_level: int = 1
    enabled: bool = True
    names: NameRule = NameRule.EXACT


@dataclass(frozen=True, slots=True)
class SystemRecord:
    """One keysvc system. `system_id` is 32 hex digits and binds every ciphertext, seal and certificate to it."""

    system_id: str
    created_at: datetime
    settings: Settings = Settings()


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be the one master secret server until `expires_at` of the mapping store's clock.

    `epoch` rises at every grant: it is the fencing token (Gray & Cheriton 1989; Kleppmann 2016). `url` is where its
    holder answers polls; empty for a command that holds it for a moment.
    """

    holder: str
    epoch: int
    expires_at: datetime
    url: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """What must still be true in the transaction that writes; None leaves it unchecked."""

    epoch: int | None = None
    active_version: int | None = None


@dataclass(frozen=True, slots=True)
class BackupRecord:
    """The newest backup that was written, read back and opened."""

    created_at: datetime
    versions: tuple[int, ...]


class Role(StrEnum):
    """What a certificate entitles to. Only a master secret server itself, active or standby, has MASTER."""

    MASTER = "master"
    ADMINISTRATOR = "administrator"
    SERVER = "server"
    APPLICATION = "application"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Server:
    """One running SSO server, or standby, as the master secret server last saw it. `name` is of its certificate,
    `instance` of its process: several processes may share one certificate.

    A standby, of the role master, has a `url`; the versions that it holds are those that its key store opened, and
    `problem` says why it could not take over, empty when it could. `schema_version` is the newest schema of a mapping
    store that its release knows; release 0.1 does not say it.
    """

    name: str
    instance: str
    versions_held: tuple[int, ...]
    seen_at: datetime
    role: Role = Role.SERVER
    url: str = ""
    problem: str = ""
    schema_version: int = 1


def host_name(role: Role, system_id: str) -> str:
    """The DNS name in a certificate that serves: peers check this one, whatever address they connected to."""
    return f"{role.value}.{system_id}.keysvc.internal"


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled certificate, which ends at `expires_at`: only `serial` (hex) is let in under `name`, and until it
    ends `previous_serial`, which it replaced when it was renewed. `previous_may_renew` once more until the new one was
    seen: the answer to a renewal may be lost."""

    name: str
    role: Role
    serial: str
    enrolled_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    previous_serial: str = ""
    revision: int = 0
    previous_may_renew: bool = False


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A one-time join token that was printed but not kept: `token_hash` is its SHA-256 in hex."""

    token_hash: str
    name: str
    role: Role
    expires_at: datetime
    redeemed_at: datetime | None = None
    ended_at: datetime | None = None
    revision: int = 0


# -- applications, mappings, credentials ---------------------------------------------------------------------------


class ApplicationType(StrEnum):
    """The types of affiliate application."""

    INDIVIDUAL = "individual"
    GROUP = "group"
    HOST_GROUP = "host-group"
    CONFIG_STORE = "config-store"


@dataclass(frozen=True, slots=True)
class Field:
    """A credential field. Ordinal 0 is the external user id, kept in the mapping; the rest are encrypted.
    A masked field is hidden when typed and shown only on request."""

    label: str
    masked: bool


@dataclass(frozen=True, slots=True)
class Flags:
    """What an affiliate application allows, with Enterprise SSO's defaults."""

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


@dataclass(frozen=True, slots=True)
class Application:
    """An affiliate application: a back-end system and the fields that a credential for it has.

    `application_id` (32 hex digits, random) is part of its key derivation, so that a row of a deleted application does
    not decrypt in a new one of the same name. `name`, `type`, `fields` and `application_id` never change.
    `ticket_timeout_minutes` None takes the system's.
    """

    name: str
    application_id: str
    type: ApplicationType
    fields: tuple[Field, ...]
    flags: Flags = Flags()
    description: str = ""
    contact: str = ""
    user_accounts: tuple[str, ...] = ()
    administrator_accounts: tuple[str, ...] = ()
    ticket_timeout_minutes: int | None = None
    revision: int = 0

    @property
    def host_initiated(self) -> bool:
        """Whether it may be asked by external user. A host group can be asked in no other way."""
        return self.flags.host_initiated or self.type is ApplicationType.HOST_GROUP

    @property
    def host_account(self) -> str | None:
        """Of a host group, the one account that every external user of it stands for."""
        return self.user_accounts[0] if self.type is ApplicationType.HOST_GROUP and self.user_accounts else None

    def takes(self, account: str) -> bool:
        """Whether it allows an account of one machine, if `account` is one."""
        return self.flags.allow_local_accounts or not is_local(account)


def is_local(account: str) -> bool:
    r"""Whether a Windows account is known on one machine alone: `.\name`, `BUILTIN\name`, or of this machine. A name
    without a domain is no Windows account, and everywhere the same."""
    domain, separator, _name = account.partition("\\")
    return bool(separator) and names.key(domain) in {".", "builtin", names.key(platform.node().partition(".")[0])}


@dataclass(frozen=True, slots=True)
class Mapping:
    """One user (or group, or property bag) of one application, with the user id that it has there. In a host group it
    is of an external user, which `user` repeats."""

    application: str
    user: str
    external_user: str
    enabled: bool = False
    revision: int = 0


@dataclass(frozen=True, slots=True, order=True)
class CredentialKey:
    """Where a credential is; ordered as the mapping store pages through them."""

    application: str
    user: str


@dataclass(frozen=True, slots=True)
class EncryptedCredential:
    """A credential as stored: `ciphertext` as docs/formats.md lays it out, under `version` of the master secret."""

    application: str
    user: str
    version: int
    ciphertext: bytes = field(repr=False)
    revision: int = 0

    @property
    def key(self) -> CredentialKey:
        """Its place."""
        return CredentialKey(self.application, self.user)


@dataclass(frozen=True, slots=True)
class UsedTicket:
    """A ticket that was redeemed; remembered until `expires_at`, when no application takes it any more."""

    ticket_id: str
    expires_at: datetime


# -- what is told --------------------------------------------------------------------------------------------------

Detail = abc.Mapping[str, str | int | bool]


class Severity(StrEnum):
    """How much an event matters, in RFC 5424's words, rising."""

    INFORMATIONAL = "informational"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"

    def reaches(self, minimum: Severity) -> bool:
        """Whether it matters at least as much as `minimum`."""
        rising = list(Severity)
        return rising.index(self) >= rising.index(minimum)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that notifiers tell people and systems of. `event_id` is the idempotency key of its delivery; `kind` is
    one of docs/reference/events.md, such as `rotation.finished`."""

    event_id: str
    kind: str
    at: datetime
    detail: Detail
    severity: Severity = Severity.NOTICE


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that a notifier refused, or did not accept for long: it is kept, and offered again when asked for."""

    event: Event
    notifier: str
    reason: str
    parked_at: datetime


class AuditTrail(StrEnum):
    """The audit has several trails, each numbered, chained and bounded by itself: a flood in one loses nothing of
    another."""

    CHANGES = "changes"
    DELETED_APPLICATIONS = "deleted-applications"
    DELETED_MAPPINGS = "deleted-mappings"
    LOOKUPS = "lookups"
    MEMBERS = "members"
    """What servers, applications and users did for themselves, and to credentials."""


LOOKED_UP = "credential.looked-up"
DENIED = "operation.denied"
_TRAILS = {
    "application.deleted": AuditTrail.DELETED_APPLICATIONS,
    "mapping.deleted": AuditTrail.DELETED_MAPPINGS,
    "mapping.import-deleted": AuditTrail.DELETED_MAPPINGS,
    LOOKED_UP: AuditTrail.LOOKUPS,
    DENIED: AuditTrail.LOOKUPS,
}
DONE = "done"

_acting_from: ContextVar[str] = ContextVar("acting_from")


def origin() -> str:
    """Where the one for whom this thread or task works is: the address of a request, else this machine's name."""
    return _acting_from.get("") or platform.node()


def acting_from(address: str) -> None:
    """From now on, in this thread or task, `origin` is this address."""
    _acting_from.set(address)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what, from where, and what came of it: `result` is `done` or the code of an error.

    `sequence`, from 1 without a gap within its trail in the order of the commits, and `link`, 32 bytes, are given by
    the mapping store.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    detail: Detail = field(default_factory=dict)
    origin: str = field(default_factory=origin)
    result: str = DONE
    sequence: int = 0
    link: bytes = field(default=b"", repr=False, compare=False)
    trail: AuditTrail = AuditTrail.CHANGES

    def __post_init__(self) -> None:
        """Some actions have a trail of their own, unless whoever records them names another."""
        if self.trail is AuditTrail.CHANGES and self.action in _TRAILS:
            object.__setattr__(self, "trail", _TRAILS[self.action])


def utc_now() -> datetime:
    """This machine's clock. Leases use the mapping store's, permissions a monotonic one."""
    return datetime.now(UTC)
