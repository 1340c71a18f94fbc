"""What each change does to the tables: one function a change, called inside the transaction of one commit."""

from __future__ import annotations

from collections import abc
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from keysvc.described import described
from keysvc.errors import Conflict, InvalidInput, NotFound, VersionInUse
from keysvc.model import Settings, VersionState
from keysvc.plugin import changes as change
from keysvc.stores import schema
from keysvc.stores.sql_database import Undone

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Apply = abc.Callable[[Connection, Any], None]

EXCLUSIVE = (
    change.PutSystem,
    change.PutVersion,
    change.DeleteApplication,
    change.DeleteMapping,
    change.DeleteCredential,
)
"""Changes that write the guard row, or compare before they write: a commit with any of them locks that row alone from
its beginning."""

_first_revision = select(schema.guard.c.first_revision).scalar_subquery()


def put_system(connection: Connection, put: change.PutSystem) -> None:
    """Another system's record is never replaced. The guard row is locked: nobody writes after the look at it."""
    same = schema.system.c.system_id == put.system.system_id
    if put.instead_of is not None:
        found = connection.scalars(select(schema.system.c.settings).where(same)).all()
        if [msgspec.convert(settings, described(Settings)) for settings in found] != [put.instead_of]:
            raise Conflict("the settings of the system have changed")
    if not _update(connection, schema.system, same, {"settings": put.system.settings}):
        _insert(connection, schema.system, {"id": 1, **_values(put.system)}, "the database holds another system")


def put_version(connection: Connection, put: change.PutVersion) -> None:
    """A number that stands for another secret is never taken over. The guard row is locked: no row comes meanwhile."""
    table, record = schema.versions, put.record
    if record.state is VersionState.DESTROYED:
        _refuse_if_in_use(connection, record.version)
    same = (table.c.version == record.version) & (table.c.check_value == record.check_value)
    changing = {name: getattr(record, name) for name in ("state", "completed_at", "compromised_at")}
    if not _update(connection, table, same, changing):
        _insert(connection, table, _values(record), f"version {record.version} is another secret already")


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
    _upsert(connection, schema.rotation, {"id": 1, **_values(put.settings)})


def put_backup(connection: Connection, put: change.PutBackup) -> None:
    """One row."""
    _upsert(connection, schema.backup, {"id": 1, **_values(put.backup)})


def put_application(connection: Connection, put: change.PutApplication) -> None:
    """The id is compared too: an application made again under an old name is another one."""
    table, application = schema.applications, put.application
    changed = f"the application {application.name!r} exists already or has changed"
    values = _values(application)
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
    values = _values(mapping)
    if mapping.revision and _compare_and_swap(connection, table, _at(table, mapping.application, mapping.user), values):
        return
    if not _exists(connection, schema.applications, schema.applications.c.name == mapping.application):
        raise NotFound(f"there is no application {mapping.application!r}")
    changed = f"the mapping of {mapping.user!r} in {mapping.application!r} exists already or has changed"
    if mapping.revision:
        raise Conflict(changed)
    _insert_new(connection, table, values, changed)


def delete_mapping(connection: Connection, deletion: change.DeleteMapping) -> None:
    """The credential goes by cascade."""
    where = deletion.application, deletion.user
    rows = _at(schema.mappings, *where), _at(schema.credentials, *where)
    _delete(connection, schema.mappings, rows, f"there is no mapping of {where[1]!r} in {where[0]!r}")


def put_credential(connection: Connection, put: change.PutCredential) -> None:
    """NotFound before Conflict: without the mapping there is nothing to repeat."""
    table, credential = schema.credentials, put.credential
    where, values = (credential.application, credential.user), _values(credential)
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


_reencrypt = (
    update(schema.credentials)
    .with_hint("WITH (UPDLOCK, ROWLOCK)", dialect_name="mssql")
    .where(
        schema.credentials.c.application == bindparam("of_application"),
        schema.credentials.c.user == bindparam("of_user"),
        schema.credentials.c.revision == bindparam("expected"),
    )
    .values(
        version=bindparam("new_version"),
        ciphertext=bindparam("new_ciphertext"),
        revision=schema.credentials.c.revision + 1,
    )
)


def reencrypt(connection: Connection, batch: change.Reencrypt) -> None:
    """One executemany: rows that changed match nothing."""
    if batch.credentials:
        connection.execute(
            _reencrypt,
            [
                {
                    "of_application": credential.application,
                    "of_user": credential.user,
                    "expected": credential.revision,
                    "new_version": credential.version,
                    "new_ciphertext": credential.ciphertext,
                }
                for credential in batch.credentials
            ],
        )


def use_ticket(connection: Connection, use: change.UseTicket) -> None:
    """One of two who redeem at once finds it used."""
    table = schema.used_tickets
    _insert(connection, table, _values(use.ticket), "the ticket was used already")
    connection.execute(delete(table).where(table.c.expires_at < use.ended_before))


_see_again = (
    update(schema.servers)
    .where(schema.servers.c.name == bindparam("of_name"), schema.servers.c.instance == bindparam("of_instance"))
    .values({column.name: bindparam(f"new_{column.name}") for column in schema.servers.c if not column.primary_key})
)


def see_servers(connection: Connection, seen: change.SeeServers) -> None:
    """The others stay. Those that are all known already, as they are every few seconds, in one go."""
    servers = [_values(server) for server in seen.servers]
    keys = {"name", "instance"}
    again = [{f"{'of' if name in keys else 'new'}_{name}": each[name] for name in each} for each in servers]
    if len(again) > 1 and connection.execute(_see_again, again).rowcount == len(again):
        return
    for server in servers:
        _upsert(connection, schema.servers, server)


def forget_server(connection: Connection, forgotten: change.ForgetServer) -> None:
    """Silent when it is not there."""
    table = schema.servers
    where = (table.c.name == forgotten.name) & (table.c.instance == forgotten.instance)
    connection.execute(delete(table).where(where))


def put_identity(connection: Connection, put: change.PutIdentity) -> None:
    """By name."""
    _upsert(connection, schema.identities, _values(put.identity))


def put_enrolment(connection: Connection, put: change.PutEnrolment) -> None:
    """By the hash of its token."""
    _insert(connection, schema.enrolments, _values(put.enrolment), "this join token exists already")


def redeem_enrolment(connection: Connection, redemption: change.RedeemEnrolment) -> None:
    """One of two who redeem at once finds it used."""
    table = schema.enrolments
    this = table.c.token_hash == redemption.token_hash
    if _update(connection, table, this & table.c.redeemed_at.is_(None), {"redeemed_at": redemption.at}):
        return
    if _exists(connection, table, this):
        raise Conflict("this join token is used already", hint="print a new one: keysvc server enroll")
    raise NotFound("there is no such join token", hint="print a new one: keysvc server enroll")


def append_event(connection: Connection, append: change.AppendEvent) -> None:
    """The database orders it."""
    _insert(connection, schema.outbox, _values(append.event), "this event is in the outbox already")


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


APPLY: abc.Mapping[type, Apply] = {
    change.PutSystem: put_system,
    change.PutVersion: put_version,
    change.PutRotationSettings: put_rotation_settings,
    change.PutBackup: put_backup,
    change.PutApplication: put_application,
    change.DeleteApplication: delete_application,
    change.PutMapping: put_mapping,
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
    change.AppendEvent: append_event,
    change.EventDelivered: event_delivered,
    change.ParkEvent: park_event,
    change.RetryEvent: retry_event,
    change.ForgetEvents: forget_events,
}


Together = abc.Callable[[Connection, abc.Sequence[Any]], bool]


def together(alike: change.Change) -> Together | None:
    """What applies many such changes in one go, of which a commit may hold thousands. It returns False, or raises
    IntegrityError, when any of them cannot be applied: which one and why is told by applying them one by one."""
    match alike:
        case change.PutMapping(mapping=row):
            return _update_mappings if row.revision else _insert_mappings
        case change.PutCredential(credential=credential):
            return _update_credentials if credential.revision else _insert_credentials
        case change.DeleteMapping():
            return _delete_mappings
    return None


def _insert_mappings(connection: Connection, puts: abc.Sequence[change.PutMapping]) -> bool:
    _insert_first(connection, schema.mappings, [_values(put.mapping) for put in puts])
    return True


def _update_mappings(connection: Connection, puts: abc.Sequence[change.PutMapping]) -> bool:
    return _swap_all(connection, schema.mappings, [_values(put.mapping) for put in puts])


def _insert_credentials(connection: Connection, puts: abc.Sequence[change.PutCredential]) -> bool:
    _insert_first(connection, schema.credentials, [_values(put.credential) for put in puts])
    return True


def _update_credentials(connection: Connection, puts: abc.Sequence[change.PutCredential]) -> bool:
    return _swap_all(connection, schema.credentials, [_values(put.credential) for put in puts])


def _delete_mappings(connection: Connection, deletions: abc.Sequence[change.DeleteMapping]) -> bool:
    """No revision of what goes is above the highest that is there."""
    highest = [connection.scalar(select(func.max(t.c.revision))) or 0 for t in (schema.mappings, schema.credentials)]
    this = _at_parameters(schema.mappings)
    rows = [{"of_application": deletion.application, "of_user": deletion.user} for deletion in deletions]
    if connection.execute(delete(schema.mappings).where(this), rows).rowcount != len(rows):
        return False
    _begin_above(connection, max(highest))
    return True


def _swap_all(connection: Connection, table: Table, rows: abc.Sequence[dict[str, Any]]) -> bool:
    names = [name for name in rows[0] if name not in {"application", "user", "revision"}]
    swap = (
        update(table)
        .where(_at_parameters(table), table.c.revision == bindparam("of_revision"))
        .values({**{name: bindparam(f"new_{name}") for name in names}, "revision": table.c.revision + 1})
    )
    parameters = [
        {
            **{f"of_{name}": row[name] for name in ("application", "user", "revision")},
            **{f"new_{name}": row[name] for name in names},
        }
        for row in rows
    ]
    return connection.execute(swap, parameters).rowcount == len(rows)


def _at_parameters(table: Table) -> ColumnElement[bool]:
    return (table.c.application == bindparam("of_application")) & (table.c.user == bindparam("of_user"))


def _values(record: DataclassInstance) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


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
    try:
        _insert_first(connection, table, [values])
    except IntegrityError:
        raise Conflict(conflict) from None


def _insert_first(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if not all(row[column.name] for column in table.primary_key):
            raise InvalidInput(f"an empty name among the {table.name}")  # paging begins behind the empty name
        del row["revision"]
    connection.execute(insert(table).values(revision=_first_revision).inline(), rows)


def _compare_and_swap(connection: Connection, table: Table, where: ColumnElement[bool], values: dict[str, Any]) -> bool:
    same = where & (table.c.revision == values["revision"])
    return _update(connection, table, same, {**values, "revision": table.c.revision + 1})


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
    _begin_above(connection, max(revisions))


def _begin_above(connection: Connection, revision: int) -> None:
    """Rows that are made from now on."""
    first = schema.guard.c.first_revision
    connection.execute(update(schema.guard).where(first <= revision).values(first_revision=revision + 1))
