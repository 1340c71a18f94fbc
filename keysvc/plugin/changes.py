"""What a commit to a mapping store may change. Each change says what it does and what makes the commit fail."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from datetime import datetime

from keysvc.model import (
    Application,
    AuditEntry,
    AuditTrail,
    BackupRecord,
    EncryptedCredential,
    Enrolment,
    Event,
    Guard,
    Identity,
    Mapping,
    RotationSettings,
    Server,
    Settings,
    SystemRecord,
    UsedTicket,
    VersionRecord,
)
from keysvc.plugin.audit_chain import AuditHead, AuditKeys


@dataclass(frozen=True, slots=True)
class PutSystem:
    """Create the system record, or replace its settings; with `instead_of`, only those, else Conflict."""

    system: SystemRecord
    instead_of: Settings | None = None


@dataclass(frozen=True, slots=True)
class PutVersion:
    """Insert a version or set its state. Making one active names it in the guard for all transactions to come; the
    one that was active must be put as retiring in the same commit. VersionInUse when one is put as destroyed while a
    credential is under it: nobody can write one between that look and the end of the commit."""

    record: VersionRecord


@dataclass(frozen=True, slots=True)
class PutRotationSettings:
    """Replace how rotations go."""

    settings: RotationSettings


@dataclass(frozen=True, slots=True)
class PutBackup:
    """Record the newest backup."""

    backup: BackupRecord


@dataclass(frozen=True, slots=True)
class PutApplication:
    """`application.revision` 0 inserts; otherwise replaces the row of just that revision. Else Conflict."""

    application: Application


@dataclass(frozen=True, slots=True)
class DeleteApplication:
    """Delete an application with its mappings and credentials. Conflict when it is not there."""

    name: str


@dataclass(frozen=True, slots=True)
class PutMapping:
    """`mapping.revision` 0 inserts; otherwise replaces the row of just that revision. Else Conflict.
    NotFound when the application does not exist."""

    mapping: Mapping


@dataclass(frozen=True, slots=True)
class ClaimExternalUser:
    """Change nothing. Conflict when another user of the application, enabled or not, is mapped to the external user:
    nobody maps himself to it between that look and the end of the commit."""

    application: str
    user: str
    external_user: str


@dataclass(frozen=True, slots=True)
class DeleteMapping:
    """Delete a mapping with its credential. Conflict when it is not there."""

    application: str
    user: str


@dataclass(frozen=True, slots=True)
class PutCredential:
    """`credential.revision` 0 inserts; otherwise replaces the row of just that revision. Else Conflict.
    NotFound when the mapping does not exist."""

    credential: EncryptedCredential


@dataclass(frozen=True, slots=True)
class DeleteCredential:
    """Conflict when it is not there."""

    application: str
    user: str


@dataclass(frozen=True, slots=True)
class Reencrypt:
    """Replace each credential where its row still has the revision given; rows that changed meanwhile are left alone,
    without Conflict: the next pass sees them."""

    credentials: abc.Sequence[EncryptedCredential]


@dataclass(frozen=True, slots=True)
class UseTicket:
    """Record a ticket as used. Conflict when it is already. Forgets those that ended before `ended_before`."""

    ticket: UsedTicket
    ended_before: datetime


@dataclass(frozen=True, slots=True)
class SeeServers:
    """Record when SSO servers were last seen and what they hold; forgets none of the others."""

    servers: abc.Sequence[Server]


@dataclass(frozen=True, slots=True)
class ForgetServer:
    """An SSO server said goodbye. No error when it is not there."""

    name: str
    instance: str


@dataclass(frozen=True, slots=True)
class PutIdentity:
    """`identity.revision` 0 inserts, at revision 1; otherwise replaces the row of just that revision and counts it up.
    Else Conflict; also for an identity that is not revoked in place of one that is: only a redemption clears that."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class PutEnrolment:
    """`enrolment.revision` 0 inserts a join token, at revision 1; otherwise replaces the row of just that revision and
    counts it up. Else Conflict."""

    enrolment: Enrolment


@dataclass(frozen=True, slots=True)
class RedeemEnrolment:
    """Trade a join token for an identity of its name and role, which is put as by `PutIdentity`, and may replace one
    that is revoked. Conflict unless the token has just that revision and was neither redeemed nor ended; NotFound when
    it is unknown."""

    token_hash: str
    revision: int
    at: datetime
    identity: Identity


@dataclass(frozen=True, slots=True)
class ForgetEnrolments:
    """Delete the join tokens that expired before this time, used or not."""

    expired_before: datetime


@dataclass(frozen=True, slots=True)
class AppendAudit:
    """Add an audit entry at the end of its trail. Trails are written after all other changes of the commit, whatever
    their order in it."""

    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class SealAudit:
    """Authenticate a trail as it ends with this commit, under the active version.

    Nothing is sealed, without an error, where `keys` lack the active version or that of the seal before, and where that
    seal or the entries since do not fit: whoever wrote those would have them sealed. `keysvc audit verify` tells of it.
    Only the `first` seal of a trail, when the system is configured, follows no other."""

    trail: AuditTrail
    keys: AuditKeys
    first: bool = False


@dataclass(frozen=True, slots=True)
class PruneAudit:
    """Delete the entries of a trail up to `through`, and seal what is left. Conflict unless these are sealed and the
    trail can be sealed with `keys`."""

    trail: AuditTrail
    through: int
    keys: AuditKeys


@dataclass(frozen=True, slots=True)
class AcceptAudit:
    """Seal a trail that is broken, from its end on: what is before stays, and is proved no more. Conflict unless `keys`
    hold the active version."""

    trail: AuditTrail
    keys: AuditKeys


@dataclass(frozen=True, slots=True)
class PutAuditHead:
    """Only for a move between mapping stores: begin a trail anew where another begins, with a head that ends there; or
    give it the seal that it has there, with a head of the same end, else Conflict."""

    head: AuditHead


@dataclass(frozen=True, slots=True)
class AppendEvent:
    """Put an event into the outbox."""

    event: Event


@dataclass(frozen=True, slots=True)
class EventDelivered:
    """The notifier of that name has accepted an event, or does not want it. No error when the event is not there."""

    event_id: str
    notifier: str


@dataclass(frozen=True, slots=True)
class ParkEvent:
    """The notifier of that name will not be offered the event again until somebody asks for it. No error when the event
    is not there. `reason` holds no secret."""

    event_id: str
    notifier: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """Offer a parked event again. NotFound when it is not parked."""

    event_id: str
    notifier: str


@dataclass(frozen=True, slots=True)
class ForgetEvents:
    """Take out of the outbox what every one of these notifiers has accepted; with none of them, everything."""

    notifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RaiseOldestReader:
    """Refuse the store to releases that know no schema from `schema_version` on. Never lowers what is there. Conflict
    when the schema of the store is older itself."""

    schema_version: int


Change = (
    PutSystem
    | PutVersion
    | PutRotationSettings
    | PutBackup
    | PutApplication
    | DeleteApplication
    | PutMapping
    | ClaimExternalUser
    | DeleteMapping
    | PutCredential
    | DeleteCredential
    | Reencrypt
    | UseTicket
    | SeeServers
    | ForgetServer
    | PutIdentity
    | PutEnrolment
    | RedeemEnrolment
    | ForgetEnrolments
    | AppendAudit
    | SealAudit
    | PruneAudit
    | AcceptAudit
    | PutAuditHead
    | AppendEvent
    | EventDelivered
    | ParkEvent
    | RetryEvent
    | ForgetEvents
    | RaiseOldestReader
)

UNGUARDED = Guard()
