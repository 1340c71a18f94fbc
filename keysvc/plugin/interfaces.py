"""The parts that plugins supply, and what each promises. The conformance suites in `keysvc.testing` check the promises.

There are no capability flags: what a part cannot do is not in its contract.
"""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from keysvc.model import (
    Application,
    AuditEntry,
    AuditTrail,
    BackupRecord,
    CredentialKey,
    EncryptedCredential,
    Enrolment,
    Event,
    Guard,
    Identity,
    Lease,
    Mapping,
    MasterSecret,
    ParkedEvent,
    RotationSettings,
    SecretText,
    Server,
    SystemRecord,
    UsedTicket,
    Versions,
)
from keysvc.plugin.location import Location

if TYPE_CHECKING:  # most of what imports this module writes nothing
    from keysvc.plugin.audit_chain import AuditHead
    from keysvc.plugin.changes import Change

Part = TypeVar("Part")
Part_contra = TypeVar("Part_contra", contravariant=True)

Prompt = abc.Callable[[str], SecretText]
"""`prompt("pin")`: the secret of that name, from where the URL's option `pin-source` says (`file:/PATH`, `env:NAME`),
else from the operator. A part that asks registers that option."""


@dataclass(frozen=True, slots=True)
class Opening:
    """All that a part is given when it is opened. May grow."""

    location: Location
    prompt: Prompt
    system_id: str


Opener = abc.Callable[[Opening], Part]


class Register(Protocol[Part_contra]):
    """Given to a plugin's hook; the plugin calls it once for each URL scheme that it opens."""

    def __call__(
        self, scheme: str, opener: abc.Callable[[Opening], Part_contra], *, summary: str, options: abc.Mapping[str, str]
    ) -> None:
        """Register `opener` for `scheme`. `options` names every option of the URL and says what it does; a URL with
        any other is refused before the opener is called, and names in another case are put into this one. Raises
        PluginError when the scheme is taken."""


# -- key store -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyStoreInfo:
    """What may be shown of a key store. `root` names what seals: a KEK's label, a key file, a passphrase."""

    url: str
    root: str
    hardware: bool
    exportable: bool


class KeyStore(Protocol):
    """Keeps versions of the master secret, sealed.

    Opened once a process; any thread may call it; machines may share one (a network HSM). A version that was sealed
    stays, unchanged, until destroyed: through exceptions, SIGKILL and power loss.
    """

    def info(self) -> KeyStoreInfo:
        """Safe to show; touches no device."""

    def versions(self) -> abc.Sequence[int]:
        """Ascending; also those that this process cannot unseal. Raises KeyStoreUnavailable."""

    def seal(self, secret: MasterSecret) -> None:
        """Durable on return, and read back. The same again changes nothing.

        Raises VersionAlreadySealed when the version holds another secret, SealBroken when what is there does not open,
        KeyStoreUnavailable.
        """

    def unseal(self, version: int) -> MasterSecret:
        """Raises VersionNotFound, SealBroken, KeyStoreUnavailable."""

    def random(self, count: int) -> bytes:
        """`count` bytes from its own generator, where it has one, else the operating system's. A new version is made of
        these and of the operating system's, so that neither alone decides. Raises KeyStoreUnavailable."""

    def destroy(self, version: int) -> None:
        """Remove a version for good. Repeatable. Raises KeyStoreUnavailable."""

    def close(self) -> None:
        """Repeatable."""


# -- mapping store -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MappingStoreInfo:
    """What may be shown of a mapping store. `schema_version` is 0 before `prepare`.

    `newest_schema` is the highest schema version that this release makes; releases that know no schema from
    `oldest_reader` on may not open the store. A store without upgrades leaves both at 0.
    """

    url: str
    schema_version: int
    newest_schema: int = 0
    oldest_reader: int = 0


LookedUp = tuple[Application, Mapping | None, EncryptedCredential | None]
"""An application, and a user's mapping and credential in it."""


class MappingStore(Protocol):
    """The SSO database. Reads see committed data; every write is a `commit`. Any thread may call it.

    Every method raises MappingStoreUnavailable; all but `prepare`, `info` and `close` raise NotConfigured before
    `prepare` and SchemaMismatch for a schema that this release may not open.
    """

    def prepare(self) -> None:
        """Create the schema, or upgrade an older one in place. Repeatable, and finishes what an interrupted one began.
        Raises SchemaMismatch for a newer one that this release may not open."""

    def info(self) -> MappingStoreInfo:
        """Safe to show."""

    def system(self) -> SystemRecord | None:
        """None before configuration."""

    def versions(self) -> Versions:
        """Ascending, destroyed ones included."""

    def rotation_settings(self) -> RotationSettings:
        """As put last; the defaults before that."""

    def lease(self) -> Lease | None:
        """The lease in force by the store's clock, or None. Its epoch is the last granted."""

    def epoch(self) -> int:
        """The last epoch granted, 0 before the first; also after the lease has ended."""

    def backup(self) -> BackupRecord | None:
        """The newest backup recorded."""

    def application(self, name: str) -> Application | None:
        """By exact name."""

    def applications(self) -> abc.Sequence[Application]:
        """By name."""

    def mapping(self, application: str, user: str) -> Mapping | None:
        """By exact names."""

    def mappings(self, application: str, *, after: str = "", limit: int = 500) -> abc.Sequence[Mapping]:
        """A page by user, beginning behind `after`; steady while rows change (keyset paging, never OFFSET)."""

    def mappings_of_external_user(self, application: str, external_user: str) -> abc.Sequence[Mapping]:
        """Every mapping to that external user."""

    def credential(self, application: str, user: str) -> EncryptedCredential | None:
        """By exact names."""

    def look_up(self, application: str, user: str) -> LookedUp | None:
        """By exact names, what a look-up needs, in one read and of one moment; None without such an application."""

    def spellings(self, keys: abc.Collection[str], application: str | None = None) -> abc.Sequence[str]:
        """The names of the applications, or of the users mapped in one, whose folded key (`keysvc.model.names.key`) is
        one of these, at most 500. It is an index: whoever asks computes the key of each name again."""

    def credentials(
        self, *, after: CredentialKey | None = None, limit: int = 500, under: int | None = None
    ) -> abc.Sequence[EncryptedCredential]:
        """A page of credentials by key, beginning behind `after`; with `under` only those under that version."""

    def used_tickets(self, *, after: str = "", limit: int = 500) -> abc.Sequence[UsedTicket]:
        """A page by id, beginning behind `after`."""

    def rows_by_version(self) -> dict[int, int]:
        """How many credentials each version encrypts; versions without any are absent."""

    def servers(self) -> abc.Sequence[Server]:
        """By name and instance."""

    def identities(self) -> abc.Sequence[Identity]:
        """By name."""

    def identity(self, name: str) -> Identity | None:
        """By exact name."""

    def enrolment(self, token_hash: str) -> Enrolment | None:
        """A join token by its hash."""

    def enrolments(self) -> abc.Sequence[Enrolment]:
        """The join tokens that were neither redeemed nor ended, by name and hash; also those that have expired."""

    def events(self, limit: int, *, pending_for: str | None = None) -> abc.Sequence[Event]:
        """What is in the outbox, oldest first; of a notifier's name given, what it neither accepted nor parked."""

    def parked_events(self, limit: int) -> abc.Sequence[ParkedEvent]:
        """What notifiers did not accept for good, oldest first."""

    def audit(
        self, trail: AuditTrail = AuditTrail.CHANGES, *, after: int = 0, limit: int = 500
    ) -> abc.Sequence[AuditEntry]:
        """A trail by sequence, beginning behind `after`. What is numbered later is committed later."""

    def audit_heads(self) -> abc.Sequence[AuditHead]:
        """One of each trail, by name."""

    def commit(self, changes: abc.Sequence[Change], guard: Guard) -> None:
        """All or none, in order, in one transaction that also checks the guard and each change's revision.

        Raises Fenced (another epoch was granted), StaleVersion (another version is active), Conflict, NotFound. In a
        system whose names are folded, Conflict too for a new application, mapping (in its application) or identity with
        the folded key of another; and for settings that make them folded while two names have one key.
        """

    def grant_lease(self, holder: str, ttl: timedelta, url: str = "") -> Lease | None:
        """Raise the epoch and grant the lease, by the store's clock; None while someone else holds it. `url` is kept
        with it. Granting it to
        its holder again raises the epoch too. A lease that ends later than its own ttl from now was granted before
        the clock jumped back, and counts as ended: safety rests on the epoch, never on a clock."""

    def renew_lease(self, lease: Lease, ttl: timedelta) -> Lease:
        """Prolong by `ttl` from now. Raises Fenced when another epoch was granted; or when somebody else prolonged this
        lease since it was `lease`, and it has not ended: of a process and its copy, the one that is later is fenced."""

    def release_lease(self, lease: Lease) -> None:
        """End it now, so that another may take it. No error, and no change, when it is no longer held, or was prolonged
        since it was `lease`."""

    def close(self) -> None:
        """Repeatable."""


# -- notifier ------------------------------------------------------------------------------------------------------


class Notifier(Protocol):
    """Tells people and systems about events."""

    def deliver(self, event: Event) -> None:
        """Once; the outbox repeats, and `event.event_id` lets a receiver drop what it has. Returns only when accepted.
        Raises NotifierUnavailable (repeat; after `retry_after` seconds at the earliest, if the receiver said so)
        or NotifierRefused (park it and show it)."""

    def close(self) -> None:
        """Repeatable."""


# -- authorizer ----------------------------------------------------------------------------------------------------


class Authorizer(Protocol):
    """Says which groups somebody is in. What a group may do is not its business: that is keysvc's table of roles.

    Opened once a process; any thread may call it. keysvc remembers an answer for one poll interval, and no longer.
    """

    def groups_of(self, name: str) -> abc.Collection[str]:
        r"""Every group that `name`, of a certificate or an account of this machine, is a member of, directly or through
        other groups: as accounts are written in applications, `DOMAIN\group`; upper and lower case are the same. Empty
        for somebody unknown. Answers within seconds. Raises AuthorizerUnavailable when it cannot know: then nothing
        that needs a group is allowed."""

    def close(self) -> None:
        """Repeatable."""
