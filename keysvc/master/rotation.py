"""Rotation: generate, announce, activate, re-encrypt, verify, complete. What comes next is read from the data each
time: no progress file, every step repeatable, so that the next master goes on wherever the last one died."""

from __future__ import annotations

import threading
import time
from collections import abc
from dataclasses import replace
from datetime import timedelta

from keysvc.errors import (
    CannotDecrypt,
    InvalidInput,
    KeyStoreError,
    KeysvcError,
    VersionInUse,
    VersionNotFound,
)
from keysvc.master.destruction import Destruction
from keysvc.master.events import EventKind, audit, told
from keysvc.master.reencryption import FullReencryption, Progress
from keysvc.master.rotation_alerts import WAITING_LONG, Hindrances
from keysvc.master.schedule import Schedule
from keysvc.master.secrets import UnsealedVersions
from keysvc.master.servers import LiveServers
from keysvc.master.spot_check import check_sample
from keysvc.master.term import Term
from keysvc.model import MasterSecret, RotationSettings, VersionRecord, Versions, VersionState, utc_now
from keysvc.plugin.changes import Change, PutRotationSettings, PutVersion
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.rotation")
SERVICE = "master secret server"
DESTROY_AGAIN_SECONDS = 60.0


class Rotation:
    """`advance` is called by the one worker of the master secret server; the rest by anyone."""

    def __init__(
        self,
        store: MappingStore,
        system_id: str,
        secrets: UnsealedVersions,
        term: Term,
        servers: LiveServers,
        *,
        every: timedelta | None = None,
    ) -> None:
        self._store = store
        self._system_id = system_id
        self._secrets = secrets
        self._term = term
        self._servers = servers
        self._changing = threading.Lock()
        self._reencryption = FullReencryption(store, system_id, secrets, term)
        self._destruction = Destruction(store, system_id, secrets, term)
        self._hindrances = Hindrances(store, term)
        self._schedule = Schedule(every)
        self._complete_under: int | None = None  # no row can come under another version while this one is active
        self._problems: dict[str, str] = {}
        self._destroy_again_at = 0.0

    # -- what SSO administrators ask -------------------------------------------------------------------------------

    def start(self, actor: str, *, compromised: int | None = None) -> VersionRecord:
        """Generate and announce a new version. While one is announced already, that one is the answer; rows may be
        under any number of older ones.

        With `compromised`, what is under that version is re-encrypted first, and it is destroyed as soon as no row is
        under it and a backup holds the active version. A new version is made only where that one is active or
        announced; else the answer is the active one. Raises VersionNotFound, KeyStoreError.
        """
        with self._changing:
            self._term.require()
            return self._start(self._store.versions(), actor, compromised)

    def change_settings(
        self, actor: str, *, paused: bool | None = None, max_rows_per_second: int | None = None
    ) -> RotationSettings:
        """Pause or resume, and limit the rate (0: no limit); None leaves it. At once, and until changed again: the next
        master goes by it too. Raises InvalidInput."""
        if max_rows_per_second is not None and not 0 <= max_rows_per_second < 2**31:
            raise InvalidInput("max_rows_per_second must be a whole number, 0 for no limit")
        with self._changing:
            self._term.require()
            before = after = self._store.rotation_settings()
            if paused is not None:
                after = replace(after, paused_at=(before.paused_at or utc_now()) if paused else None)
            if max_rows_per_second is not None:
                after = replace(after, max_rows_per_second=max_rows_per_second or None)
            if after != before:
                detail = {"paused": after.paused_at is not None, "max_rows_per_second": after.max_rows_per_second or 0}
                self._commit([PutRotationSettings(after), audit(actor, "rotation.changed", "settings", **detail)])
                log.info("changed how rotations go", **detail)
            return after

    def destroy(self, version: int, actor: str, *, force: bool = False) -> None:
        """As `Destruction.destroy`."""
        with self._changing:
            self._term.require()
            self._destruction.destroy(version, self._store.versions().require_active(), actor, force=force)

    # -- what status shows -----------------------------------------------------------------------------------------

    @property
    def rows_per_second(self) -> float | None:
        """Lately; None when none was re-encrypted."""
        return self._reencryption.pace.rows_per_second

    @property
    def problems(self) -> abc.Sequence[str]:
        """What an SSO administrator has to look at."""
        left = self._reencryption.undecryptable
        named = f"{left} credentials do not decrypt and stay under their old version, named by: keysvc secret verify"
        unfinished = [
            f"version {version} is destroyed, but still in the key store: {error}"
            for version, error in sorted(self._destruction.unfinished.copy().items())
        ]
        return [*self._problems.values(), *([named] if left else []), *unfinished]

    @property
    def remaining_rows(self) -> int:
        """As `FullReencryption.remaining`."""
        return self._reencryption.remaining

    @property
    def undecryptable_rows(self) -> int:
        """Of the last whole walk."""
        return self._reencryption.undecryptable

    @property
    def rest_seconds(self) -> float:
        """How long re-encryption rests, so that it is not faster than allowed."""
        return self._reencryption.pace.rest_seconds

    # -- the worker ------------------------------------------------------------------------------------------------

    def advance(self) -> bool:
        """Do the next step that the data asks for. True when there may be more to do at once. What fails is told and
        tried again at the next call; raises only Fenced, MappingStoreUnavailable."""
        with self._changing:
            try:
                more = self._step()
                self._problems.pop("step", None)
            except (KeyStoreError, CannotDecrypt) as error:
                self._failed("step", error)
                return False
            return more

    def _failed(self, what: str, error: KeysvcError) -> None:
        self._problems[what] = f"the rotation does not go on: {error}; {error.hint}"
        self._hindrances.tell(EventKind.ROTATION_FAILED, what, str(error))

    def _step(self) -> bool:
        settings, versions = self._store.rotation_settings(), self._store.versions()
        active, waiting = versions.require_active(), versions.announced
        if settings.paused_at is not None:
            self._hindrances.paused(settings, waiting is not None or active.completed_at is None)
            return False
        if self._destroy_compromised(versions, active):
            return True
        lost = waiting is not None and self._secrets.lacks(waiting)
        if lost or (waiting is None and self._schedule.is_due(active)):
            self._start_when_due(versions)
            return True
        if waiting is not None:
            if self._activate(waiting, active):
                return True
            if active.compromised_at is not None:
                return False  # nothing more is to come under it
        return self._reencrypt(versions, active, settings)

    def _activate(self, new: VersionRecord, old: VersionRecord) -> bool:
        overdue = utc_now() - new.created_at >= WAITING_LONG
        servers = self._servers.waiting_for(new.version, overdue=overdue)
        if servers:
            self._hindrances.waiting(new, servers)
            return False
        self._commit(
            [
                PutVersion(replace(old, state=VersionState.RETIRING)),
                PutVersion(replace(new, state=VersionState.ACTIVE)),
                *told(SERVICE, EventKind.VERSION_ACTIVATED, f"version {new.version}"),
            ]
        )
        log.info("activated a version", version=new.version)
        return True

    def _reencrypt(self, versions: Versions, active: VersionRecord, how: RotationSettings) -> bool:
        if self._complete_under == active.version:
            return False
        urgent = tuple(record.version for record in versions if record.compromised_at is not None)
        left = self._reencryption.step(active.version, urgent, how.max_rows_per_second)
        if left is Progress.NOTHING:
            self._complete(active)
        elif left is Progress.WAITING:
            self._hindrances.undecryptable(self._reencryption.undecryptable, active.version)
        return left is Progress.MORE

    def _complete(self, active: VersionRecord) -> None:
        """Every row was counted under the active version. That it is told stands in the data, in one commit with the
        telling: a master that dies before has the next one do it."""
        if active.completed_at is None:
            rows = self._store.rows_by_version().get(active.version, 0)
            verified = check_sample(self._store, self._system_id, [self._secrets.get(active.version)])
            finished = told(
                SERVICE, EventKind.ROTATION_FINISHED, f"version {active.version}", rows=rows, verified=verified
            )
            self._commit([PutVersion(replace(active, completed_at=utc_now())), *finished])
            log.info("re-encrypted all credentials", version=active.version, rows=rows, verified=verified)
        self._complete_under = active.version

    def _destroy_compromised(self, versions: Versions, active: VersionRecord) -> bool:
        if time.monotonic() < self._destroy_again_at:
            return False
        for record in versions:
            compromised = record.compromised_at is not None and record.state is VersionState.RETIRING
            if compromised and self._destruction.ready(record.version, active):
                return self._destroy_by_itself(record.version, active)
        self._problems.pop("destroying", None)
        return False

    def _destroy_by_itself(self, version: int, active: VersionRecord) -> bool:
        """What it fails by does not keep re-encryption from going on."""
        try:
            self._destruction.destroy(version, active, SERVICE)
        except (KeyStoreError, CannotDecrypt, VersionInUse) as error:
            self._failed("destroying", error)
            self._destroy_again_at = time.monotonic() + DESTROY_AGAIN_SECONDS
            return False
        self._problems.pop("destroying", None)
        return True

    def finish_destroying(self) -> None:
        """As `Destruction.finish`."""
        self._destruction.finish(self._store.versions())

    # -- beginning -------------------------------------------------------------------------------------------------

    def _start_when_due(self, versions: Versions) -> None:
        try:
            self._start(versions, SERVICE, None)
        except KeyStoreError:
            self._schedule.tried_in_vain()
            raise

    def _start(self, versions: Versions, actor: str, compromised: int | None) -> VersionRecord:
        active, waiting = versions.require_active(), versions.announced
        changes: list[Change] = []
        if compromised is not None:
            reported = self._reported(versions, compromised)
            changes += [PutVersion(reported), *told(actor, EventKind.VERSION_COMPROMISED, f"version {compromised}")]
            if reported.state is VersionState.RETIRING:
                self._commit(changes)
                return active
            if reported.state is VersionState.DESTROYED:  # it was announced: no row is under it, and none ever will be
                waiting = None
        if waiting is not None and self._secrets.lacks(waiting):
            changes += [PutVersion(replace(waiting, state=VersionState.DESTROYED))]
            changes += told(actor, EventKind.VERSION_ABANDONED, f"version {waiting.version}")
            waiting = None
        if waiting is None:
            secret = self._secrets.generate(versions)
            waiting = announced(secret)
            named = f"version {waiting.version}"
            generated = told(actor, EventKind.SECRET_GENERATED, named)
            changes += [PutVersion(waiting), *generated, *told(actor, EventKind.ROTATION_STARTED, named)]
            log.info("announcing a new version", version=waiting.version)
        if changes:
            self._commit(changes)
            self._destruction.finish(self._store.versions())
        return waiting

    def _reported(self, versions: Versions, version: int) -> VersionRecord:
        record = versions.find(version)
        if record is None or not record.is_live:
            raise VersionNotFound(f"there is no version {version}", hint="keysvc secret list")
        state = VersionState.DESTROYED if record.state is VersionState.ANNOUNCED else record.state
        return replace(record, state=state, compromised_at=record.compromised_at or utc_now())

    def _commit(self, changes: abc.Sequence[Change]) -> None:
        self._term.commit(*changes)


def announced(secret: MasterSecret, state: VersionState = VersionState.ANNOUNCED) -> VersionRecord:
    """The record of a version that was just sealed."""
    return VersionRecord(secret.version, state, secret.created_at, secret.check_value)
