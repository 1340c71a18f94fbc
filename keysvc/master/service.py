"""The master secret server: the parts of `keysvc.master` put together, with the two threads that drive them."""

from __future__ import annotations

import threading
import time
from collections import abc, deque
from datetime import timedelta

from keysvc.crypto import transport
from keysvc.crypto.certificates import KeyPair
from keysvc.errors import Fenced, KeysvcError, MappingStoreUnavailable, NotConfigured, NotFound
from keysvc.master import audit_trails, backup, notifier_states, status, switch
from keysvc.master.audit_trails import Trails, Verified
from keysvc.master.delivery import Delivery, Subscription
from keysvc.master.enrolment import Identities
from keysvc.master.events import EventKind, audit, audit_of_member, event, told
from keysvc.master.notifier_states import NotifierStates
from keysvc.master.protectors import Protectors
from keysvc.master.releases import Releases
from keysvc.master.rotation import Rotation
from keysvc.master.secrets import UnsealedVersions
from keysvc.master.server_registry import Attendance
from keysvc.master.servers import PollRequest
from keysvc.master.term import Ask, Term
from keysvc.master.watch import KeyStoreWatch, MappingStoreOutage
from keysvc.model import (
    Announcement,
    AuditTrail,
    BackupRecord,
    Role,
    RotationSettings,
    SecretBytes,
    Server,
    VersionRecord,
    Versions,
)
from keysvc.plugin.allowance import RateLimit
from keysvc.plugin.background import lasting
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.isolation import PluginFailure
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.master")
FLUSH_SECONDS = 2.0
REPEAT_WARNINGS_SECONDS = 3600.0
REPEAT_OVERDUE_SECONDS = 86400.0
FETCH_BURST, FETCHES_PER_MINUTE = 600, 30
"""How often one certificate that is no administrator's may fetch a version: each time is recorded."""


class MasterSecretServer:
    """`start` takes the lease; from then on polls are answered and rotations advance, until `stop` or the loss of the
    lease, which is told through `on_lost`. Any thread may call any method."""

    def __init__(
        self,
        store: MappingStore,
        key_store: KeyStore,
        authority: KeyPair,
        *,
        poll_interval: timedelta,
        lease_ttl: timedelta,
        rotate_every: timedelta | None = None,
        subscriptions: abc.Sequence[Subscription] = (),
        name: str = "",
        url: str = "",
        secrets: UnsealedVersions | None = None,
        changed: abc.Callable[[], None] = lambda: None,
        ask: Ask = lambda answered: answered(),
        plugin_failures: deque[PluginFailure] | None = None,
    ) -> None:
        """`name` is of its own certificate, `url` where it answers; `secrets` are what this process has unsealed
        already. `changed` is called, by any thread, when polls have a new answer; `ask` as of `Term.keep`. What
        is appended to `plugin_failures`, by any thread, becomes an event as soon as one can be written."""
        system = store.system()
        if system is None:
            raise NotConfigured(f"the mapping store {store.info().url} holds no system")
        self.system_id = system.system_id
        self._store = store
        self._authority = authority
        self._poll_interval = poll_interval
        self._name, self._url = name, url
        self._changed = changed
        self._ask = ask
        self._rotate_every = rotate_every
        self._term = Term(store, lease_ttl, url=url)
        self._protectors = key_store if isinstance(key_store, Protectors) else Protectors(key_store)
        self._secrets = secrets or UnsealedVersions(self._protectors)
        self._key_store_watch = KeyStoreWatch(
            store,
            self._term,
            self._protectors,
            self._secrets,
            lambda: self.rotation.finish_destroying(),  # noqa: PLW0108  it is made by start
        )
        self._delivery = Delivery(store, self._term, subscriptions)
        self._outage = MappingStoreOutage(store, self._term)
        self._trails = Trails(store, self._term, lambda: self._secrets.audit_keys(self.system_id))
        self._overdue_at = time.monotonic() + REPEAT_WARNINGS_SECONDS
        self._failures: deque[PluginFailure] = deque() if plugin_failures is None else plugin_failures
        self._wake = threading.Event()
        self._stopping = False
        self._problem = ""
        self._worker = lasting("master", self._work, lambda: self._stopping)
        self._announcing = threading.Lock()
        self._fetches = RateLimit(FETCH_BURST, FETCHES_PER_MINUTE)
        self._announcement = Announcement(self.system_id, 0, Versions(), poll_interval)

    def start(self, on_lost: abc.Callable[[Fenced], None], *, wait: bool = True) -> None:
        """Take the lease, and `wait` for a holder that died. Raises LeaseHeld. A key store that lacks a version or
        cannot be reached does not stop it: it starts degraded and serves what it has."""
        if wait:
            self._term.acquire()
        else:
            self._term.take_or_refuse()
        try:
            self.identities = Identities(self._store, self.system_id, self._term, self._authority)
            self._attendance = Attendance(self._store, self._term, self._name, self._poll_interval)
            live = self._attendance.live
            self._releases = Releases(self._store, self._term, live, self._name, self._poll_interval)
            parts = self._store, self.system_id, self._secrets, self._term, live
            self.rotation = Rotation(*parts, every=self._rotate_every)
            self._secrets.load(self._store.versions())
            self.rotation.finish_destroying()
            self.announce()
        except BaseException:
            self._term.release()
            raise
        for version, problem in self._secrets.problems.items():
            log.error("a version cannot be unsealed", version=version, problem=str(problem), hint=problem.hint)
        self._term.keep(on_lost, self._ask)
        self._worker.start()
        self._key_store_watch.start()
        self._trails.start()
        self._delivery.start()

    def took_over(self, predecessor: str) -> None:
        """Tell of it: who holds the lease now, and who held it before, if anybody was seen to."""
        lost = [event(EventKind.LEASE_LOST, subject=predecessor, successor=self._url)] if predecessor else []
        taken = told(self._name, EventKind.LEASE_TAKEN, self._term.holder, url=self._url)
        self._term.commit(*lost, *taken)

    def stop(self) -> None:
        """Finish what is being written, release the lease. Repeatable."""
        self._stopping = True
        self._wake.set()
        self._key_store_watch.stop()
        self._delivery.stop()
        if self._worker.is_alive() and self._worker is not threading.current_thread():
            self._worker.join()
        self._trails.stop()
        self._term.release()

    # -- what SSO servers ask --------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Of the lease held."""
        return self._term.epoch

    def heard_again(self, said: PollRequest) -> Announcement | None:
        """As `heard`, of a process that says what it said before: in memory. None when it is for `heard`."""
        self._term.require()
        return self._announcement if self._attendance.live.saw_again(said) else None

    def poll(
        self,
        name: str,
        instance: str,
        versions_held: tuple[int, ...],
        *,
        role: Role = Role.SERVER,
        url: str = "",
        problem: str = "",
        schema_version: int = 1,
    ) -> Announcement:
        """What is announced now; in memory, but for a process's first poll. A standby tells its `url`, and the
        `problem` that keeps it from taking over. Raises MasterSecretServerUnavailable."""
        return self.heard(PollRequest(name, instance, versions_held, role, url, problem, schema_version))

    def heard(self, said: PollRequest) -> Announcement:
        """As `poll`, of what a process says."""
        self._term.require()
        self._attendance.saw(said)
        return self._announcement

    def announced(self) -> Announcement:
        """What is announced now, for a poll that waited. Raises MasterSecretServerUnavailable."""
        self._term.require()
        return self._announcement

    @property
    def valid(self) -> bool:
        """Whether it surely holds the lease now."""
        return self._term.valid

    def standbys(self) -> abc.Sequence[Server]:
        """Those that are alive, and could or could not take over."""
        return self._attendance.live.standbys()

    def leave(self, name: str, instance: str) -> None:
        """A process encrypts no more: nobody needs to wait for it."""
        self._term.require()
        self._attendance.left(name, instance)
        self._wake.set()

    def fetch(self, version: int, kem: str, public: bytes, receiver: str, role: Role) -> bytes:
        """A version, sealed to `public` of the peer named `receiver`. Raises KeyStoreError, ProtocolError,
        RateLimited."""
        self._term.require()
        if role is not Role.ADMINISTRATOR:
            self._fetches.spend(receiver)
        secret = self._secrets.get(version)
        context = transport.fetch_context(self.system_id, version, receiver)
        sealed = transport.seal_to(kem, public, secret.material, context)
        entry = audit_of_member(receiver, "version.fetched", f"version {version}", role=role.value)
        self._term.commit(entry)
        return sealed

    def fetch_authority_key(self, kem: str, public: bytes, receiver: str) -> bytes:
        """The certificate authority's private key, sealed to `public` of the standby named `receiver`: whoever becomes
        the master secret server enrols. Raises ProtocolError, RateLimited."""
        self._term.require()
        self._fetches.spend(receiver)
        context = transport.authority_context(self.system_id, receiver)
        sealed = transport.seal_to(kem, public, SecretBytes(self._authority.key.reveal()), context)
        self._term.commit(audit_of_member(receiver, "authority-key.fetched", receiver))
        return sealed

    # -- what SSO administrators ask -------------------------------------------------------------------------------

    def rotate(self, actor: str, *, compromised: int | None = None) -> VersionRecord:
        """As `Rotation.start`."""
        try:
            record = self.rotation.start(actor, compromised=compromised)
            self.announce()
        finally:
            self._key_store_watch.look_soon(prove=True)
            self._wake.set()
        return record

    def change_rotation(
        self, actor: str, *, paused: bool | None = None, max_rows_per_second: int | None = None
    ) -> RotationSettings:
        """As `Rotation.change_settings`."""
        settings = self.rotation.change_settings(actor, paused=paused, max_rows_per_second=max_rows_per_second)
        self._wake.set()
        return settings

    def destroy(self, version: int, actor: str, *, force: bool) -> None:
        """As `Rotation.destroy`."""
        try:
            self.rotation.destroy(version, actor, force=force)
        finally:
            self.announce()
            self._key_store_watch.look_soon(prove=True)
            self._wake.set()

    def record_step_down(self, actor: str) -> None:
        """An SSO administrator asked for it."""
        self._term.commit(audit(actor, "master.stepped-down", self._term.holder))

    def record_backup(self, record: BackupRecord, actor: str) -> None:
        """A backup was written and proved by an SSO administrator. Raises NotFound for a version that is not ours."""
        self._term.require()
        if not record.versions or not self._store.versions().live.numbers.issuperset(record.versions):
            raise NotFound("the backup names a version that this system does not have")
        backup.record(self._term, record, actor)

    def status(self) -> status.SystemStatus:
        """Everything."""
        self._attendance.record()
        problems = [
            f"version {version}: {problem}; {problem.hint}" for version, problem in self._secrets.problems.items()
        ]
        if self._key_store_watch.problem:
            problems.insert(0, f"the key store does not answer: {self._key_store_watch.problem}")
        problems += self.rotation.problems
        problems += self._trails.problems.values()
        warnings = [*self.identities.authority_warnings()]
        warnings += [f"the notifier {name} does not accept: {why}" for name, why in self._delivery.problems().items()]
        found = status.system_status(
            self._store, self._poll_interval, problems, self._key_store_watch.proved, warnings=warnings
        )
        return status.with_pace(found, self.rotation.rows_per_second, self._rotate_every)

    @property
    def store(self) -> MappingStore:
        """The mapping store of the system."""
        return self._store

    def switch_system(self, actor: str, *, enabled: bool) -> None:
        """As `switch.switch_system`."""
        self._term.require()
        switch.switch_system(self._store, actor, enabled=enabled)

    def notifiers(self) -> NotifierStates:
        """What waits for each notifier, and what was parked."""
        self._term.require()
        return notifier_states.notifier_states(self._store, self._delivery.subscriptions, self._delivery.problems())

    def retry_parked(self, actor: str, event_id: str = "", notifier: str = "") -> int:
        """As `notifier_states.retry_parked`."""
        done = notifier_states.retry_parked(self._store, self._term, actor, event_id, notifier)
        self._delivery.wake()
        return done

    def send_test(self, actor: str) -> None:
        """As `notifier_states.send_test`."""
        notifier_states.send_test(self._term, actor)
        self._delivery.wake()

    def verify_audit(self) -> abc.Sequence[Verified]:
        """Read every trail, and compare it with its links and its seal. Raises MappingStoreUnavailable."""
        self._term.require()
        keys = self._secrets.audit_keys(self.system_id)
        return [audit_trails.verify(self._store, trail, keys) for trail in AuditTrail]

    def announce(self) -> None:
        """Read the versions again, after this process changed them."""
        self._secrets.load(self._store.versions())
        with self._announcing:  # else what was read first could be announced last
            before, live = self._announcement.etag, self._store.versions().live
            self._announcement = Announcement(self.system_id, self.epoch, live, self._poll_interval)
        if self._announcement.etag != before:
            self._changed()

    # -- the worker ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        since_warning = REPEAT_WARNINGS_SECONDS
        while not self._stopping:
            more = False
            try:
                if self._term.valid:
                    self._outage.ended()
                    self._attendance.record()
                    more = self.rotation.advance()
                    self.announce_if_changed()
                    if more:
                        self._delivery.wake()
                    self._delivery.forget_delivered()
                    self._attendance.tell()
                    self.identities.record_seen()
                    self.identities.tell_of_ending()
                    self._releases.raise_oldest_reader()
                    self._tell_of_plugins()
                self._tell("")
            except Fenced:
                return
            except MappingStoreUnavailable as error:
                self._outage.began(error)
                self._tell(str(error))
            except KeysvcError as error:
                self._tell(str(error))
            except Exception as error:  # noqa: BLE001  the one worker must not end in silence
                self._tell(f"unexpected {type(error).__name__}")
            if since_warning >= REPEAT_WARNINGS_SECONDS:
                since_warning = 0.0
                self._warn()
            if not more:
                pause = min(FLUSH_SECONDS, self._poll_interval.total_seconds() / 2)
                pause = min(pause, self.rotation.rest_seconds or pause)
                self._wake.wait(pause)
                since_warning += pause
                self._wake.clear()

    def announce_if_changed(self) -> None:
        """After a step of the rotation, which may have activated a version, or a change whose answer was lost."""
        if self._store.versions().live != self._announcement.versions:
            self.announce()
        self._attendance.live.activated()

    def _tell(self, problem: str) -> None:
        """One line when something goes wrong, and one when it is over, however often it is tried meanwhile."""
        if problem == self._problem:
            return
        if problem:
            log.warning("the master secret server tries again", problem=problem)
        else:
            log.info("the master secret server works again")
        self._problem = problem

    def _warn(self) -> None:
        try:
            active = self._announcement.active
            overdue = status.backup_warnings(self._store.backup(), active.version if active else None)
            for warning in (*overdue, *status.protector_warnings(self._key_store_watch.proved)):
                log.warning(warning)
            if overdue and time.monotonic() >= self._overdue_at:
                self._term.commit(event(EventKind.BACKUP_OVERDUE, why=overdue[0]))
                self._overdue_at = time.monotonic() + REPEAT_OVERDUE_SECONDS
        except KeysvcError:
            return

    def _tell_of_plugins(self) -> None:
        while self._failures:
            failed = self._failures[0].told
            self._term.commit(event(EventKind.PLUGIN_FAILED, subject=failed["plugin"], **failed))
            self._failures.popleft()
