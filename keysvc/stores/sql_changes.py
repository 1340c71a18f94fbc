"""What each change does to the tables: one function a change, called inside the transaction of one commit."""

from __future__ import annotations

from collections import abc
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from keysvc.errors import Conflict, NotFound, VersionInUse
from keysvc.model import NameRule, Settings, VersionState
from keysvc.plugin import changes as change
from keysvc.stores import schema
from keysvc.stores.batches import begin_above, first_revision, grouped, refuse_empty_names, values_of, write
from keysvc.stores.sql_database import Undone
from keysvc.stores.sql_names import refuse_stored_twins

Apply = abc.Callable[[Connection, Any], None]

EXCLUSIVE = (
    change.PutSystem,
    change.PutVersion,
    change.DeleteApplication,
    change.DeleteMapping,
    change.DeleteCredential,
    change.RaiseOldestReader,
    change.ClaimExternalUser,
)
"""Changes that write the guard row, or compare before they write: a commit with any of them locks that row alone from
its beginning."""


msgspec.json.Decoder(Settings)  # msgspec learns it here, in one thread


def put_system(connection: Connection, put: change.PutSystem) -> None:
    """Another system's record is never replaced. The guard row is locked: nobody writes after the look at it."""
    same = schema.system.c.system_id == put.system.system_id
    if put.instead_of is not None:
        found = connection.scalars(select(schema.system.c.settings).where(same)).all()
        if [msgspec.convert(settings, Settings) for settings in found] != [put.instead_of]:
            raise Conflict("the settings of the system have changed")
    if put.system.settings.names is NameRule.FOLDED:
        refuse_stored_twins(connection)
    if not _update(connection, schema.system, same, {"settings": put.system.settings}):
        _insert(connection, schema.system, {"id": 1, **values_of(put.system)}, "the database holds another system")


def put_version(connection: Connection, put: change.PutVersion) -> None:
    """A number that stands for another secret is never taken over. The guard row is locked: no row comes meanwhile."""
    table, record = schema.versions, put.record
    if record.state is VersionState.DESTROYED:
        _refuse_if_in_use(connection, record.version)
    same = (table.c.version == record.version) & (table.c.check_value == record.check_value)
    changing = {name: getattr(record, name) for name in ("state", "completed_at", "compromised_at")}
    if not _update(connection, table, same, changing):
        _insert(connection, table, values_of(record), f"version {record.version} is another secret already")


def name_active_version(connection: Connection) -> None:
    """Write into the guard row which version is active. Called once after all changes: their order does not matter."""
    table = schema.versions
    active = connection.scalars(select(table.c.version).where(table.c.state == VersionState.ACTIVE)).all()
    if len(active) > 1:
        raise Conflict(f"versions {active[0]} and {active[1]} would both be active; one must be put as retiring")
    connection.execute(update(schema.guard).values(active_version=active[0] if active else None))


def _refuse_if_in_use(connection: Connection, version: int) -> None:
    table = schema.credentials
    row = connection.execute(
        select(table.c.application, table.c.user).where(table.c.version == version).limit(1)
    ).first()
    if row is not None:
        raise VersionInUse(f"the credential of {row.user} for {row.application} is still under version {version}")


def put_rotation_settings(connection: Connection, put: change.PutRotationSettings) -> None:
    """One row."""
    _upsert(connection, schema.rotation, {"id": 1, **values_of(put.settings)})


def put_backup(connection: Connection, put: change.PutBackup) -> None:
    """One row."""
    _upsert(connection, schema.backup, {"id": 1, **values_of(put.backup)})


def put_application(connection: Connection, put: change.PutApplication) -> None:
    """The id is compared too: an application made again under an old name is another one."""
    table, application = schema.applications, put.application
    changed = f"the application {application.name!r} exists already or has changed"
    values = values_of(application)
    if application.revision == 0:
        _insert_new(connection, table, values, changed)
        return
    same = (table.c.name == application.name) & (table.c.application_id == application.application_id)
    if not _compare_and_swap(connection, table, same, values):
        raise Conflict(changed)


def delete_application(connection: Connection, deletion: change.DeleteApplication) -> None:
    """Mappings and credentials go by cascade."""
    rows = (
        schema.applications.c.name == deletion.name,
        schema.mappings.c.application == deletion.name,
        schema.credentials.c.application == deletion.name,
    )
    _delete(connection, schema.applications, rows, f"there is no application {deletion.name!r}")


def put_mapping(connection: Connection, put: change.PutMapping) -> None:
    """NotFound before Conflict: without the application there is nothing to repeat."""
    table, mapping = schema.mappings, put.mapping
    values = values_of(mapping)
    if mapping.revision and _compare_and_swap(connection, table, _at(table, mapping.application, mapping.user), values):
        return
    if not _exists(connection, schema.applications, schema.applications.c.name == mapping.application):
        raise NotFound(f"there is no application {mapping.application!r}")
    changed = f"the mapping of {mapping.user!r} in {mapping.application!r} exists already or has changed"
    if mapping.revision:
        raise Conflict(changed)
    _insert_new(connection, table, values, changed)


def claim_external_user(connection: Connection, claim: change.ClaimExternalUser) -> None:
    """The guard row is locked: no row comes meanwhile."""
    table = schema.mappings
    theirs = (
        (table.c.application == claim.application)
        & (table.c.external_user == claim.external_user)
        & (table.c.user != claim.user)
    )
    if _exists(connection, table, theirs):
        raise Conflict(
            f"another user of {claim.application!r} is mapped to {claim.external_user!r}",
            hint="an administrator of the application can change that mapping",
        )


def delete_mapping(connection: Connection, deletion: change.DeleteMapping) -> None:
    """The credential goes by cascade."""
    where = deletion.application, deletion.user
    rows = _at(schema.mappings, *where), _at(schema.credentials, *where)
    _delete(connection, schema.mappings, rows, f"there is no mapping of {where[1]!r} in {where[0]!r}")


def put_credential(connection: Connection, put: change.PutCredential) -> None:
    """NotFound before Conflict: without the mapping there is nothing to repeat."""
    table, credential = schema.credentials, put.credential
    where, values = (credential.application, credential.user), values_of(credential)
    if credential.revision and _compare_and_swap(connection, table, _at(table, *where), values):
        return
    if not _exists(connection, schema.mappings, _at(schema.mappings, *where)):
        raise NotFound(f"there is no mapping of {where[1]!r} in {where[0]!r}")
    changed = f"the credential of {where[1]!r} in {where[0]!r} exists already or has changed"
    if credential.revision:
        raise Conflict(changed)
    _insert_new(connection, table, values, changed)


def delete_credential(connection: Connection, deletion: change.DeleteCredential) -> None:
    """The mapping stays."""
    rows = (_at(schema.credentials, deletion.application, deletion.user),)
    missing = f"there is no credential of {deletion.user!r} in {deletion.application!r}"
    _delete(connection, schema.credentials, rows, missing)


def reencrypt(connection: Connection, batch: change.Reencrypt) -> None:
    """Rows that changed match nothing."""
    for rows, _ in grouped([batch]):
        if rows is not None:
            write(connection, rows)


def use_ticket(connection: Connection, use: change.UseTicket) -> None:
    """One of two who redeem at once finds it used."""
    table = schema.used_tickets
    _insert(connection, table, values_of(use.ticket), "the ticket was used already")
    connection.execute(delete(table).where(table.c.expires_at < use.ended_before))


def see_servers(connection: Connection, seen: change.SeeServers) -> None:
    """The others stay."""
    for server in seen.servers:
        _upsert(connection, schema.servers, values_of(server))


def forget_server(connection: Connection, forgotten: change.ForgetServer) -> None:
    """Silent when it is not there."""
    table = schema.servers
    where = (table.c.name == forgotten.name) & (table.c.instance == forgotten.instance)
    connection.execute(delete(table).where(where))


def put_identity(connection: Connection, put: change.PutIdentity) -> None:
    """By name. A row that is revoked matches only what leaves it revoked."""
    table, identity = schema.identities, put.identity
    this = table.c.name == identity.name
    if identity.revoked_at is None:
        this &= table.c.revoked_at.is_(None)
    _put_revised(connection, table, this, values_of(identity), f"the identity {identity.name!r} was changed meanwhile")


def put_enrolment(connection: Connection, put: change.PutEnrolment) -> None:
    """By the hash of its token."""
    table, enrolment = schema.enrolments, put.enrolment
    this = table.c.token_hash == enrolment.token_hash
    changed = "this join token exists already or was changed meanwhile"
    _put_revised(connection, table, this, values_of(enrolment), changed)


def redeem_enrolment(connection: Connection, redemption: change.RedeemEnrolment) -> None:
    """One of two who redeem at once finds it used."""
    table, identity = schema.enrolments, redemption.identity
    this = table.c.token_hash == redemption.token_hash
    whose = (table.c.name == identity.name) & (table.c.role == identity.role)
    open_ = whose & table.c.redeemed_at.is_(None) & table.c.ended_at.is_(None)
    used = {"revision": redemption.revision, "redeemed_at": redemption.at}
    if not _compare_and_swap(connection, table, this & open_, used):
        if _exists(connection, table, this):
            raise Conflict("this join token was used or cancelled", hint="print a new one: keysvc server enroll NAME")
        raise NotFound("there is no such join token", hint="print a new one: keysvc server enroll NAME")
    table = schema.identities
    changed = f"the identity {identity.name!r} was changed meanwhile"
    _put_revised(connection, table, table.c.name == identity.name, values_of(identity), changed)


def forget_enrolments(connection: Connection, forget: change.ForgetEnrolments) -> None:
    """Used or not: no token is good after its end."""
    connection.execute(delete(schema.enrolments).where(schema.enrolments.c.expires_at < forget.expired_before))


def append_event(connection: Connection, append: change.AppendEvent) -> None:
    """The database orders it."""
    _insert(connection, schema.outbox, values_of(append.event), "this event is in the outbox already")


def event_delivered(connection: Connection, delivered: change.EventDelivered) -> None:
    """Silent when it is not there."""
    _delivery(connection, delivered.event_id, delivered.notifier, None, None)


def park_event(connection: Connection, park: change.ParkEvent) -> None:
    """Silent when it is not there."""
    _delivery(connection, park.event_id, park.notifier, park.at, park.reason)


def _delivery(connection: Connection, event_id: str, notifier: str, at: datetime | None, reason: str | None) -> None:
    if _exists(connection, schema.outbox, schema.outbox.c.event_id == event_id):
        row = {"event_id": event_id, "notifier": notifier, "parked_at": at, "reason": reason}
        _upsert(connection, schema.deliveries, row)


def retry_event(connection: Connection, retry: change.RetryEvent) -> None:
    """Without its row it is pending."""
    table = schema.deliveries
    this = (table.c.event_id == retry.event_id) & (table.c.notifier == retry.notifier)
    if connection.execute(delete(table).where(this, table.c.parked_at.is_not(None))).rowcount == 0:
        raise NotFound(f"the event {retry.event_id} is not parked for {retry.notifier}", hint="keysvc notify list")


def forget_events(connection: Connection, forget: change.ForgetEvents) -> None:
    """Their deliveries go by cascade."""
    table, done = schema.outbox, schema.deliveries
    accepted = (
        select(done.c.event_id)
        .where(done.c.notifier.in_(forget.notifiers), done.c.parked_at.is_(None))
        .group_by(done.c.event_id)
        .having(func.count() == len(set(forget.notifiers)))
    )
    every = delete(table)
    connection.execute(every.where(table.c.event_id.in_(accepted)) if forget.notifiers else every)


def raise_oldest_reader(connection: Connection, rise: change.RaiseOldestReader) -> None:
    """The guard row is locked."""
    row = schema.guard.c
    if (connection.scalar(select(row.schema_version)) or 0) < rise.schema_version:
        raise Conflict(f"the mapping store does not have schema {rise.schema_version} yet")
    lower = row.oldest_reader < rise.schema_version
    connection.execute(update(schema.guard).where(lower).values(oldest_reader=rise.schema_version))


APPLY: abc.Mapping[type, Apply] = {
    change.PutSystem: put_system,
    change.PutVersion: put_version,
    change.PutRotationSettings: put_rotation_settings,
    change.PutBackup: put_backup,
    change.PutApplication: put_application,
    change.DeleteApplication: delete_application,
    change.PutMapping: put_mapping,
    change.ClaimExternalUser: claim_external_user,
    change.DeleteMapping: delete_mapping,
    change.PutCredential: put_credential,
    change.DeleteCredential: delete_credential,
    change.Reencrypt: reencrypt,
    change.UseTicket: use_ticket,
    change.SeeServers: see_servers,
    change.ForgetServer: forget_server,
    change.PutIdentity: put_identity,
    change.PutEnrolment: put_enrolment,
    change.RedeemEnrolment: redeem_enrolment,
    change.ForgetEnrolments: forget_enrolments,
    change.AppendEvent: append_event,
    change.EventDelivered: event_delivered,
    change.ParkEvent: park_event,
    change.RetryEvent: retry_event,
    change.ForgetEvents: forget_events,
    change.RaiseOldestReader: raise_oldest_reader,
}


def _at(table: Table, application: str, user: str) -> ColumnElement[bool]:
    return (table.c.application == application) & (table.c.user == user)


def _exists(connection: Connection, table: Table, where: ColumnElement[bool]) -> bool:
    return connection.execute(select(1).select_from(table).where(where)).first() is not None


def _update(connection: Connection, table: Table, where: ColumnElement[bool], values: dict[str, Any]) -> bool:
    return connection.execute(update(table).where(where).values(values)).rowcount > 0


def _insert(connection: Connection, table: Table, values: dict[str, Any], conflict: str) -> None:
    try:
        connection.execute(insert(table).inline(), values)
    except IntegrityError:
        raise Conflict(conflict) from None


def _insert_new(connection: Connection, table: Table, values: dict[str, Any], conflict: str) -> None:
    refuse_empty_names(table, values)
    del values["revision"]
    try:
        connection.execute(insert(table).values(revision=first_revision).inline(), values)
    except IntegrityError:
        raise Conflict(conflict) from None


def _compare_and_swap(connection: Connection, table: Table, where: ColumnElement[bool], values: dict[str, Any]) -> bool:
    same = where & (table.c.revision == values["revision"])
    return _update(connection, table, same, {**values, "revision": table.c.revision + 1})


def _put_revised(
    connection: Connection, table: Table, this: ColumnElement[bool], values: dict[str, Any], conflict: str
) -> None:
    """Rows of these tables are never deleted: a revision that is counted up from 1 never comes again."""
    if values["revision"] == 0:
        _insert(connection, table, {**values, "revision": 1}, conflict)
    elif not _compare_and_swap(connection, table, this, values):
        raise Conflict(conflict)


def _upsert(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    where = [column == values[column.name] for column in table.primary_key]
    same = where[0] if len(where) == 1 else where[0] & where[1]
    if _update(connection, table, same, values):
        return
    try:
        connection.execute(insert(table).inline(), values)
    except IntegrityError:  # it is there by now: repeated, the update finds it
        raise Undone(f"another is writing the same row of {table.name}") from None


def _delete(connection: Connection, table: Table, rows: abc.Sequence[ColumnElement[bool]], missing: str) -> None:
    """`rows[0]` selects the row of `table`; the rest, what goes with it by cascade."""
    tables = (schema.applications, schema.mappings, schema.credentials)
    gone = tables[tables.index(table) :]
    revisions = [
        connection.scalar(select(func.max(t.c.revision)).where(where)) or 0 for t, where in zip(gone, rows, strict=True)
    ]
    if connection.execute(delete(table).where(rows[0])).rowcount == 0:
        raise Conflict(missing)
    begin_above(connection, max(revisions))
