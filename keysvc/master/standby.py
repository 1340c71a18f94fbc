"""A master secret server that is not active: it seals each version into its own key store as it is announced, so that
it can take over without a person."""

from __future__ import annotations

import contextlib
import threading
from collections import abc
from datetime import timedelta
from typing import Protocol

from keysvc.errors import KeyStoreError, KeysvcError, NotActive, SealBroken, VersionAlreadySealed
from keysvc.master.secrets import UnsealedVersions
from keysvc.model import (
    Announcement,
    Identity,
    MasterSecret,
    Role,
    SecretBytes,
    VersionId,
    VersionRecord,
    Versions,
    utc_now,
)
from keysvc.plugin.background import lasting
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.standby")
WAIT_SECONDS = 20.0
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 2.0
LIST_SECONDS = 30.0
LONGEST_PROBLEM = 500
AGAIN_SECONDS = 2.0
"""Until a version that the key store did not take is tried again."""


class ActiveMasterClient(Protocol):
    """What a standby asks of the active master secret server; `keysvc.web.master.client` speaks it over mutual TLS."""

    def poll(
        self,
        versions_held: tuple[VersionId, ...],
        etag: str | None,
        *,
        wait: float = 0.0,
        url: str | None = None,
        problem: str | None = None,
    ) -> Announcement | None:
        """As an SSO server polls, and says where it answers itself and what keeps it from taking over."""

    def fetch(self, version: int) -> SecretBytes:
        """The material of a version."""

    def fetch_authority_key(self) -> SecretBytes:
        """The private key (PEM) of the certificate authority."""

    def close(self) -> None:
        """Repeatable."""


class Authority(Protocol):
    """Where a master secret server keeps the certificate authority."""

    def is_here(self) -> bool:
        """Whether the key is on this machine."""

    def keep(self, key: SecretBytes) -> None:
        """Durably. Raises ConfigurationError."""


class Standby:
    """Follows whoever holds the lease, in a thread of its own; `follow` says whom. Thread-safe."""

    def __init__(
        self,
        store: MappingStore,
        key_store: KeyStore,
        authority: Authority,
        connect: abc.Callable[[str], ActiveMasterClient],
        *,
        name: str,
        url: str,
        poll_interval: timedelta,
        lost_sight: abc.Callable[[], None],
    ) -> None:
        """`connect` gives a way to the master secret server at a URL; `lost_sight` is called when that ends."""
        self.name, self.url = name, url
        self.secrets = UnsealedVersions(key_store)
        self.problem = ""
        self._store = store
        self._key_store = key_store
        self._authority = authority
        self._connect = connect
        self._poll_interval = poll_interval
        self._lost_sight = lost_sight
        self._following = ""
        self._followed: tuple[str, ActiveMasterClient] | None = None
        self._etag: str | None = None
        self._listed_at = 0.0
        self._turn = threading.Event()
        self._stopping = False
        self._thread = lasting("standby", self._follow_for_ever, lambda: self._stopping)

    def start(self) -> None:
        """Begin, with nobody to follow yet."""
        self._thread.start()

    def stop(self) -> None:
        """Does not wait: a key store may hang. Repeatable."""
        self._stopping = True
        self.follow("")

    @property
    def following(self) -> str:
        """The URL of the active master secret server; empty when there is none, or it is this one."""
        return self._following

    def follow(self, url: str) -> None:
        """From now on."""
        if url != self._following:
            self._following = url
            self._turn.set()

    def why_not_ready(self) -> str:
        """What keeps it from taking over now, by the mapping store; empty when it can. One of several that lacks a
        version waits for another to take over; one that is alone serves what it has. Raises MappingStoreError."""
        versions = self._store.versions()
        if versions.active is None:
            return "no version is active in the mapping store: was the system moved to another?"
        identities = self._store.identities()
        mine = next((identity for identity in identities if identity.name == self.name), None)
        others = any(_is_another_master(identity, self.name) for identity in identities)
        if mine is not None and mine.revoked_at is not None and (others or not self._is_readmitted()):
            return f"the certificate of {self.name} was revoked; on this machine: keysvc server readmit {self.name}"
        if not self._authority.is_here():
            return "the key of the certificate authority has not been fetched yet"
        problem = self._load(versions)
        waiting = versions.announced
        if waiting is not None and self.secrets.lacks(waiting):  # no row is under it: another takes its place
            problem = self._load(Versions(record for record in versions if record is not waiting))
        return problem if others else ""

    # -- inside ----------------------------------------------------------------------------------------------------

    def _is_readmitted(self) -> bool:
        """Whether a join token for this name can be redeemed: the only master serves so that it can."""
        now = utc_now()
        return any(
            enrolment.name == self.name and not (enrolment.redeemed_at or enrolment.ended_at)
            for enrolment in self._store.enrolments()
            if enrolment.expires_at >= now
        )

    def _follow_for_ever(self) -> None:
        retry = FIRST_RETRY_SECONDS
        while not self._stopping:
            url = self._following
            pause: float | None = None
            if url:
                try:
                    pause, retry = self._follow_once(url), FIRST_RETRY_SECONDS
                except KeysvcError as error:
                    self._etag = None
                    self._lost_sight()
                    if not isinstance(error, NotActive):
                        log.debug("the master secret server was not reached", url=url, problem=str(error))
                    pause, retry = retry, min(2 * retry, LONGEST_RETRY_SECONDS)
                except Exception as error:  # noqa: BLE001  a standby must not end in silence
                    self._say(f"unexpected {type(error).__name__}")
                    pause = LONGEST_RETRY_SECONDS
            self._turn.wait(pause)
            self._turn.clear()

    def _follow_once(self, url: str) -> float:
        """Poll, and take over what is new. The seconds until the next poll."""
        active = self._way_to(url)
        self._notice_loss()
        held = self.secrets.held()
        answer = active.poll(held, self._etag, wait=WAIT_SECONDS, url=self.url, problem=self.problem)
        if answer is None:
            return 0.0
        self._etag = answer.etag
        before = self.problem
        self._say(self._replicated(active, answer))
        if self.problem:
            self._etag = None
            return 0.0 if self.problem != before else AGAIN_SECONDS
        if before or self.secrets.held() != held:
            self._etag = None  # the next poll tells of it, at once
        return 0.0

    def _way_to(self, url: str) -> ActiveMasterClient:
        if self._followed is None or self._followed[0] != url:
            if self._followed is not None:
                self._followed[1].close()
            self._followed, self._etag = (url, self._connect(url)), None
        return self._followed[1]

    def _replicated(self, active: ActiveMasterClient, answer: Announcement) -> str:
        """What is still missing afterwards; empty when nothing is."""
        if answer.poll_interval != self._poll_interval:
            theirs, mine = answer.poll_interval.total_seconds(), self._poll_interval.total_seconds()
            return f"poll_interval is {mine:g}s here and {theirs:g}s on the active master secret server"
        versions = self._store.versions()
        try:
            if not self._authority.is_here():
                self._authority.keep(active.fetch_authority_key())
            if self._load(versions):
                self._fetch_missing(active, versions)
            self._destroy_what_is_destroyed(versions)
        except KeysvcError as error:
            return str(error)
        return self._load(versions)

    def _notice_loss(self) -> None:
        """A version that somebody took out of the key store is held no more, and fetched again."""
        if elapsed() < self._listed_at + LIST_SECONDS:
            return
        with contextlib.suppress(KeyStoreError):  # what cannot be asked may well have it
            gone = {version.number for version in self.secrets.held()}.difference(self._key_store.versions())
            self._listed_at = elapsed()
            if gone:
                self.secrets.forget(gone)
                self._etag = None

    def _load(self, versions: Versions) -> str:
        """Unseal what is not held; the first problem."""
        if not self.secrets.hold_all(versions):
            self.secrets.load(versions)
        problems = self.secrets.problems
        return next((f"version {r.version}: {problems[r.version]}" for r in versions.live if r.version in problems), "")

    def _fetch_missing(self, active: ActiveMasterClient, versions: Versions) -> None:
        for record in versions:
            if self.secrets.lacks(record):
                secret = MasterSecret(record.version, record.created_at, active.fetch(record.version))
                if not record.describes(secret):
                    raise SealBroken(
                        f"version {record.version} arrived as another secret than this system's",
                        hint="restart that master secret server: keysvc doctor there says what is wrong",
                    )
                self._seal(record, secret, versions)

    def _seal(self, record: VersionRecord, secret: MasterSecret, versions: Versions) -> None:
        """Durable first: it counts as held once it was sealed and opened again."""
        try:
            self._key_store.seal(secret)
        except VersionAlreadySealed:
            self._remove_unannounced(record, versions)
            self._key_store.seal(secret)
        if self._key_store.unseal(secret.version) != secret:
            raise SealBroken(f"version {secret.version} reads back as another secret", hint=SealBroken.NOT_KEPT)
        self.secrets.hold(secret)
        log.info("sealed a version of the active master secret server", version=secret.version)

    def _remove_unannounced(self, record: VersionRecord, versions: Versions) -> None:
        """This machine sealed a version, and died as the master secret server before it announced it; its successor
        used the number for another. Nothing was ever encrypted under it. Raises VersionAlreadySealed where it can be
        of another history: when an earlier version differs too, or none is the same."""
        others = [other for other in versions.live if other.version < record.version]
        same = [record for record in others if record.id in self.secrets.held()]
        if not same or len(same) < len(others):
            raise VersionAlreadySealed(f"the key store holds another secret as version {record.version}")
        log.warning("removes a version that was sealed here and never announced", version=record.version)
        self._key_store.destroy(record.version)

    def _destroy_what_is_destroyed(self, versions: Versions) -> None:
        for version in versions.destroyed.intersection(self._key_store.versions()):
            self.secrets.destroy(version)
            log.info("destroyed a version", version=version)

    def _say(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("this standby is not ready to take over", problem=problem)
        elif self.problem and not problem:
            log.info("this standby is ready to take over")
        self.problem = problem[:LONGEST_PROBLEM]

    def close(self) -> None:
        """Repeatable."""
        if self._followed is not None:
            with contextlib.suppress(KeyStoreError):
                self._followed[1].close()


def _is_another_master(identity: Identity, name: str) -> bool:
    return identity.role is Role.MASTER and identity.revoked_at is None and identity.name != name
