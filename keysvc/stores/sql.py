"""A mapping store over any SQL database that SQLAlchemy speaks.

A store for another database subclasses `SQLMappingStore` and says, by the methods of
`keysvc.stores.sql_database.SQLDatabase`, how that database tells the time, begins to write, locks the guard row and
reports its errors; the rest is here. This module and `keysvc.stores.schema` are public: SQL plugins build on them.
"""

from __future__ import annotations

import math
from collections import abc
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Connection, Row, Select, Table, bindparam, event, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry

from keysvc.errors import Fenced, MappingStoreError, NotConfigured, StaleVersion
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
    ParkedEvent,
    RotationSettings,
    Server,
    SystemRecord,
    UsedTicket,
    VersionRecord,
    Versions,
)
from keysvc.plugin.audit_chain import AuditHead
from keysvc.plugin.changes import Change, PutVersion
from keysvc.plugin.interfaces import LookedUp, MappingStoreInfo
from keysvc.stores import schema, sql_audit, sql_changes, sql_names
from keysvc.stores.batches import Action, Batch, DoesNotFit, grouped, write
from keysvc.stores.sql_database import SQLDatabase, Undone
from keysvc.stores.sql_rows import GuardRow, Parking, looked_up, read

__all__ = ["SQLMappingStore", "Undone"]

Value = TypeVar("Value")

_mapping = select(schema.mappings).where(
    schema.mappings.c.application == bindparam("application"), schema.mappings.c.user == bindparam("user")
)
_credential = select(schema.credentials).where(
    schema.credentials.c.application == bindparam("application"), schema.credentials.c.user == bindparam("user")
)
_mapping_there, _credential_there = (
    (table.c.application == schema.applications.c.name) & (table.c.user == bindparam("user"))
    for table in (schema.mappings, schema.credentials)
)
_look_up = (
    select(schema.applications, schema.mappings, schema.credentials)
    .outerjoin(schema.mappings, _mapping_there)
    .outerjoin(schema.credentials, _credential_there)
    .where(schema.applications.c.name == bindparam("application"))
)


Apply = abc.Callable[[Connection, abc.Iterable[Change]], None]


def of_external_user(application: str, external_user: str) -> Select[Any]:
    """The mappings of one external user, in any order."""
    table = schema.mappings
    return select(table).where(table.c.application == application, table.c.external_user == external_user)


def _close_connection(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.invalidate()


class SQLMappingStore(SQLDatabase):
    """A `keysvc.plugin.interfaces.MappingStore` over an engine. Takes the engine over: `close` disposes of it.

    A subclass overrides what `SQLDatabase` leaves to it, and may override `changes`: what applies each change.
    """

    changes: ClassVar[abc.Mapping[type, sql_changes.Apply]] = sql_changes.APPLY
    _names_folded = False

    # -- life ---------------------------------------------------------------------------------------------------

    def info(self) -> MappingStoreInfo:
        """Without the password of the URL."""

        def versions() -> tuple[int, int]:
            with self._engine.connect() as connection:
                found = self._schema_version(connection)
                return found, self._oldest_reader(connection, found)

        own = len(self.migrations)
        try:
            found, oldest_reader = self._repeated(versions)
        except NotConfigured:
            return MappingStoreInfo(self._url, 0, own)
        return MappingStoreInfo(self._url, found, own, oldest_reader)

    def close(self) -> None:
        """Close every connection; one that another thread still uses, as soon as it is given back."""
        event.listen(self._engine, "checkin", _close_connection)
        self._engine.dispose()

    # -- reads --------------------------------------------------------------------------------------------------

    def system(self) -> SystemRecord | None:
        """The one system record."""
        return self._one(SystemRecord, schema.system, select(schema.system))

    def versions(self) -> Versions:
        """Ascending."""
        return Versions(self._all(VersionRecord, schema.versions, select(schema.versions)))

    def rotation_settings(self) -> RotationSettings:
        """The one row, or the defaults."""
        return self._one(RotationSettings, schema.rotation, select(schema.rotation)) or RotationSettings()

    def lease(self) -> Lease | None:
        """By the database's clock."""
        return self._read(lambda connection: self._read_guard(connection).lease(self._now(connection)))

    def epoch(self) -> int:
        """The last one granted."""
        return self._read(lambda connection: self._read_guard(connection).epoch)

    def backup(self) -> BackupRecord | None:
        """The newest."""
        return self._one(BackupRecord, schema.backup, select(schema.backup))

    def application(self, name: str) -> Application | None:
        """By exact name."""
        table = schema.applications
        return self._one(Application, table, select(table).where(table.c.name == name))

    def applications(self) -> abc.Sequence[Application]:
        """By name."""
        return self._all(Application, schema.applications, select(schema.applications).order_by("name"))

    def mapping(self, application: str, user: str) -> Mapping | None:
        """By exact names."""
        return self._one(Mapping, schema.mappings, _mapping, application=application, user=user)

    def mappings(self, application: str, *, after: str = "", limit: int = 500) -> abc.Sequence[Mapping]:
        """A page by user."""
        table = schema.mappings
        where = (table.c.application == application) & (table.c.user > after)
        return self._all(Mapping, table, select(table).where(where).order_by(table.c.user).limit(limit))

    def mappings_of_external_user(self, application: str, external_user: str) -> abc.Sequence[Mapping]:
        """By user. They are sorted here: to sort them itself, SQLite would read the whole application by user."""
        found = self._all(Mapping, schema.mappings, of_external_user(application, external_user))
        return sorted(found, key=lambda mapping: mapping.user)

    def credential(self, application: str, user: str) -> EncryptedCredential | None:
        """By exact names."""
        return self._one(EncryptedCredential, schema.credentials, _credential, application=application, user=user)

    def look_up(self, application: str, user: str) -> LookedUp | None:
        """By one join."""
        found = {"application": application, "user": user}
        row = self._read(lambda connection: connection.execute(_look_up, found).first())
        return None if row is None else looked_up(row)

    def credentials(
        self, *, after: CredentialKey | None = None, limit: int = 500, under: int | None = None
    ) -> abc.Sequence[EncryptedCredential]:
        """A page by key."""
        table = schema.credentials
        page = select(table).order_by(table.c.application, table.c.user)
        if under is not None:
            page = page.where(table.c.version == under)
        if after is None:
            return self._all(EncryptedCredential, table, page.limit(limit))
        # two plain ranges: no database seeks an index well for (a, b) > (x, y) in the form that all of them know
        same = page.where(table.c.application == after.application, table.c.user > after.user)
        found = self._all(EncryptedCredential, table, same.limit(limit))
        if len(found) < limit:
            rest = page.where(table.c.application > after.application).limit(limit - len(found))
            found += self._all(EncryptedCredential, table, rest)
        return found

    def spellings(self, keys: abc.Collection[str], application: str | None = None) -> abc.Sequence[str]:
        """By name."""
        return self._read(lambda connection: sql_names.spelled(connection, keys, application))

    def used_tickets(self, *, after: str = "", limit: int = 500) -> abc.Sequence[UsedTicket]:
        """A page by id."""
        table = schema.used_tickets
        page = select(table).where(table.c.ticket_id > after).order_by(table.c.ticket_id).limit(limit)
        return self._all(UsedTicket, table, page)

    def rows_by_version(self) -> dict[int, int]:
        """Counted now."""
        version = schema.credentials.c.version
        counted = select(version, func.count()).group_by(version).order_by(version)
        rows = self._read(lambda connection: connection.execute(counted).all())
        if not all(isinstance(number, int) for number, _ in rows):
            raise self._damaged("a row of the table credentials has a version that is no number")
        return {int(number): int(count) for number, count in rows}

    def servers(self) -> abc.Sequence[Server]:
        """By name and instance."""
        return self._all(Server, schema.servers, select(schema.servers).order_by("name", "instance"))

    def identities(self) -> abc.Sequence[Identity]:
        """By name."""
        return self._all(Identity, schema.identities, select(schema.identities).order_by("name"))

    def identity(self, name: str) -> Identity | None:
        """By exact name."""
        table = schema.identities
        return self._one(Identity, table, select(table).where(table.c.name == name))

    def enrolments(self) -> abc.Sequence[Enrolment]:
        """Those that may still be good, by name."""
        table = schema.enrolments
        may_be_good = select(table).where(table.c.redeemed_at.is_(None), table.c.ended_at.is_(None))
        return self._all(Enrolment, table, may_be_good.order_by("name", "token_hash"))

    def enrolment(self, token_hash: str) -> Enrolment | None:
        """By its hash."""
        table = schema.enrolments
        return self._one(Enrolment, table, select(table).where(table.c.token_hash == token_hash))

    def events(self, limit: int, *, pending_for: str | None = None) -> abc.Sequence[Event]:
        """Oldest first."""
        table, done = schema.outbox, schema.deliveries
        page = select(table).order_by(table.c.position).limit(limit)
        if pending_for is not None:
            page = page.where(~exists().where(done.c.event_id == table.c.event_id, done.c.notifier == pending_for))
        return self._all(Event, table, page)

    def parked_events(self, limit: int) -> abc.Sequence[ParkedEvent]:
        """Oldest first."""
        outbox, parked = schema.outbox, schema.deliveries
        page = (
            select(outbox, parked.c.notifier, parked.c.reason, parked.c.parked_at)
            .join(parked, parked.c.event_id == outbox.c.event_id)
            .where(parked.c.parked_at.is_not(None))
            .order_by(outbox.c.position, parked.c.notifier)
            .limit(limit)
        )
        rows = self._read(lambda connection: connection.execute(page).all())
        events = zip(read(Event, outbox, rows), read(Parking, parked, rows), strict=True)
        return [ParkedEvent(event, at.notifier, at.reason, at.parked_at) for event, at in events]

    def audit(
        self, trail: AuditTrail = AuditTrail.CHANGES, *, after: int = 0, limit: int = 500
    ) -> abc.Sequence[AuditEntry]:
        """By sequence."""
        return self._all(AuditEntry, schema.audit, sql_audit.entries(trail, after).limit(limit))

    def audit_heads(self) -> abc.Sequence[AuditHead]:
        """By the trail's name."""
        table = schema.audit_heads
        return self._all(AuditHead, table, select(table).order_by(table.c.trail))

    # -- writes -------------------------------------------------------------------------------------------------

    def commit(self, changes: abc.Sequence[Change], guard: Guard) -> None:
        """The one way in which anything but the lease changes."""
        others = [change for change in changes if not isinstance(change, sql_audit.OF_TRAILS)]
        new_names = sql_names.new_names(changes)
        exclusive = any(isinstance(change, sql_changes.EXCLUSIVE) for change in changes)

        def run(connection: Connection, row: GuardRow, apply: Apply) -> None:
            self._check_guard(row, guard)
            self._check_names(connection, row, new_names, exclusive)
            apply(connection, others)
            if any(isinstance(change, PutVersion) for change in changes):
                sql_changes.name_active_version(connection)
            sql_audit.write(connection, changes, self._lock_head, self._write_batch)
            self._finish_batches(connection)

        def run_together(connection: Connection, row: GuardRow) -> None:
            try:
                run(connection, row, self._apply_together)
            except IntegrityError:
                raise DoesNotFit from None

        exclusive = exclusive or (self._names_folded and bool(new_names))
        try:
            self._write(run_together, exclusive=exclusive)
        except DoesNotFit:
            self._write(lambda connection, row: run(connection, row, self._apply_each), exclusive=exclusive)
        except sql_names.NamesFolded:
            self._names_folded = True  # which they stay
            self.commit(changes, guard)

    def grant_lease(self, holder: str, ttl: timedelta, url: str = "") -> Lease | None:
        """In a transaction of its own."""

        def grant(connection: Connection, row: GuardRow) -> Lease | None:
            now = self._now(connection)
            lease = row.lease(now)
            if lease is not None and lease.holder != holder:
                return None
            return self._write_lease(connection, Lease(holder, row.epoch + 1, now + ttl, url), ttl)

        return self._write(grant, exclusive=True)

    def renew_lease(self, lease: Lease, ttl: timedelta) -> Lease:
        """In a transaction of its own."""

        def renew(connection: Connection, row: GuardRow) -> Lease:
            self._check_guard(row, Guard(epoch=lease.epoch))
            now = self._now(connection)
            held = row.lease(now)
            if held is not None and held.expires_at != lease.expires_at:
                raise Fenced(f"epoch {lease.epoch} was prolonged by another process that holds it: a copy of this one")
            return self._write_lease(connection, replace(lease, expires_at=now + ttl), ttl)

        return self._write(renew, exclusive=True)

    def release_lease(self, lease: Lease) -> None:
        """In a transaction of its own."""

        def release(connection: Connection, row: GuardRow) -> None:
            if (row.epoch, row.lease_expires_at) == (lease.epoch, lease.expires_at):
                self._write_lease(connection, replace(lease, expires_at=self._now(connection)), timedelta(0))

        self._write(release, exclusive=True)

    def _apply_each(self, connection: Connection, changes: abc.Iterable[Change]) -> None:
        for change in changes:
            known = self.changes.get(type(change))
            if known is None:
                raise MappingStoreError(f"{self._url}: this store does not know {type(change).__name__}")
            known(connection, change)

    def _apply_together(self, connection: Connection, changes: abc.Iterable[Change]) -> None:
        """A batch that does not fit whole is given up: one by one, the changes tell which of them does not and why."""
        for batch, alike in grouped(changes):
            own = self.changes.get(type(alike[0])) is not sql_changes.APPLY.get(type(alike[0]))
            if batch is None or own or not self._takes(batch):
                self._apply_each(connection, alike)
            elif not self._write_batch(connection, batch):
                raise DoesNotFit

    def _takes(self, batch: Batch) -> bool:
        """Whether `_write_batch` is the better way for it. A single row is not: its own error costs nothing."""
        return len(batch.rows) > 1 or batch.action is Action.REENCRYPT

    def _lock_head(self, connection: Connection, trail: AuditTrail) -> Row[Any] | None:
        """Lock the head of a trail until the transaction ends, and read it, with the active version as the last column.
        None where it was removed."""
        return connection.execute(sql_audit.head(trail).with_for_update()).first()

    def _write_batch(self, connection: Connection, batch: Batch) -> bool:
        """Write all rows of it, in one statement where the database can. False, DoesNotFit or IntegrityError when one
        of them does not fit."""
        return write(connection, batch)

    def _finish_batches(self, connection: Connection) -> None:
        """Write what `_write_batch` has put off. Called after the last of a commit; raises as it."""

    # -- inside -------------------------------------------------------------------------------------------------

    def _check_names(
        self, connection: Connection, row: GuardRow, new: abc.Sequence[sql_names.NewName], exclusive: bool
    ) -> None:
        if new and row.names_are_folded:
            if not exclusive:
                raise sql_names.NamesFolded
            sql_names.refuse_twins(connection, new)

    def _check_guard(self, row: GuardRow, guard: Guard) -> None:
        if guard.epoch is not None and guard.epoch != row.epoch:
            raise Fenced(f"epoch {guard.epoch} is over, epoch {row.epoch} was granted; nothing was written")
        if guard.active_version is not None and guard.active_version != row.active:
            number = guard.active_version.number
            found = "another secret is active as" if number == row.active_version else "the active version is not"
            raise StaleVersion(f"{found} version {number}; nothing was written")

    def _write_lease(self, connection: Connection, lease: Lease, ttl: timedelta) -> Lease:
        connection.execute(
            update(schema.guard).values(
                epoch=lease.epoch,
                lease_holder=lease.holder,
                lease_expires_at=lease.expires_at,
                lease_url=lease.url,
                lease_ttl_ms=math.ceil(ttl / timedelta(milliseconds=1)),
            )
        )
        return lease

    def _one(self, what: type[Value], table: Table, statement: Select[Any], **parameters: str) -> Value | None:
        rows = self._read(lambda connection: connection.execute(statement, parameters).all())
        return next(iter(read(what, table, rows)), None)

    def _all(self, what: type[Value], table: Table, statement: Select[Any]) -> list[Value]:
        rows = self._read(lambda connection: connection.execute(statement).all())
        return read(what, table, rows)
