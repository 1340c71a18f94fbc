"""Stores that are wrong on purpose: each must fail the test that is named after its sin, and the right store none."""

from __future__ import annotations

import contextlib
import inspect
import time
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from sqlalchemy import delete, insert, update

from keysvc.errors import Conflict, KeysvcError
from keysvc.model import Guard
from keysvc.plugin import changes as change
from keysvc.stores import schema, sql_changes
from keysvc.stores.sqlite import SQLiteMappingStore
from keysvc.testing.mapping_store import MappingStoreConformance


class IgnoresTheEpoch(SQLiteMappingStore):
    def _check_guard(self, row, guard):
        super()._check_guard(row, replace(guard, epoch=None))


class IgnoresTheActiveVersion(SQLiteMappingStore):
    def _check_guard(self, row, guard):
        super()._check_guard(row, replace(guard, active_version=None))


class KnowsVersionsByTheirNumberAlone(SQLiteMappingStore):
    def _check_guard(self, row, guard):
        same = guard.active_version is not None and guard.active_version.number == row.active_version
        super()._check_guard(row, replace(guard, active_version=None) if same else guard)


class ChecksTheGuardBeforeTheTransaction(SQLiteMappingStore):
    def commit(self, changes, guard):
        super().commit([], guard)
        time.sleep(0.005)
        super().commit(changes, Guard())


def _last_writer_wins(connection, put):
    table, mapping = schema.mappings, put.mapping
    values = {"external_user": mapping.external_user, "enabled": mapping.enabled}
    where = (table.c.application == mapping.application) & (table.c.user == mapping.user)
    if not connection.execute(update(table).where(where).values(revision=table.c.revision + 1, **values)).rowcount:
        sql_changes.put_mapping(connection, change.PutMapping(replace(mapping, revision=0)))


class LastWriterWins(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.PutMapping: _last_writer_wins})


def _reencrypt_whatever_is_there(connection, batch):
    table = schema.credentials
    for credential in batch.credentials:
        where = (table.c.application == credential.application) & (table.c.user == credential.user)
        values = {"version": credential.version, "ciphertext": credential.ciphertext}
        connection.execute(update(table).where(where).values(revision=table.c.revision + 1, **values))


class ReencryptOverwrites(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.Reencrypt: _reencrypt_whatever_is_there})


def _destroy_whatever_needs_it(connection, put):
    where = schema.versions.c.version == put.record.version
    if not connection.execute(update(schema.versions).where(where).values(state=put.record.state)).rowcount:
        sql_changes.put_version(connection, put)


class DestroysAVersionInUse(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.PutVersion: _destroy_whatever_needs_it})


class GrantsTheLeaseToTwo(SQLiteMappingStore):
    def grant_lease(self, holder, ttl):
        return super().grant_lease(holder, ttl) or super().grant_lease(self.lease().holder, ttl)


class KeepsTheEpochOfItsHolder(SQLiteMappingStore):
    def grant_lease(self, holder, ttl):
        lease = self.lease()
        return lease if lease and lease.holder == holder else super().grant_lease(holder, ttl)


class ProlongsForACopyToo(SQLiteMappingStore):
    def renew_lease(self, lease, ttl):
        return super().renew_lease(self.lease() or lease, ttl)


class LeasesNeverEnd(SQLiteMappingStore):
    def grant_lease(self, holder, ttl):
        return super().grant_lease(holder, ttl + timedelta(days=1))

    def lease(self):
        return super().lease() or pytest.fail("never ends")


class CommitsOneByOne(SQLiteMappingStore):
    def commit(self, changes, guard):
        super().commit([], guard)
        for one in changes:
            super().commit([one], guard)


def _delete_without_cascade(connection, deletion):
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    table = schema.applications
    found = connection.execute(table.select().where(table.c.name == deletion.name)).mappings().first()
    if found is None:
        raise Conflict("not there")
    connection.execute(delete(table).where(table.c.name == deletion.name, table.c.name != deletion.name))
    connection.execute(update(table).where(table.c.name == deletion.name).values(description="deleted"))


class KeepsTheRowsOfADeletedApplication(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.DeleteApplication: _delete_without_cascade})


def _insert_at_one(connection, put):
    credential = put.credential
    if credential.revision:
        sql_changes.put_credential(connection, put)
        return
    values = {"application": credential.application, "user": credential.user, "version": credential.version}
    connection.execute(insert(schema.credentials), {**values, "ciphertext": credential.ciphertext, "revision": 1})


class BeginsEveryRevisionAtOne(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.PutCredential: _insert_at_one})


class PagesByOffset(SQLiteMappingStore):
    def mappings(self, application, *, after="", limit=500):
        self.pages = self.pages + 1 if after else 0
        return super().mappings(application, limit=10_000)[self.pages * limit : (self.pages + 1) * limit]


class FoldsCase(SQLiteMappingStore):
    def mapping(self, application, user):
        return super().mapping(application, user.casefold())


def _use_again(connection, use):
    table = schema.used_tickets
    connection.execute(delete(table).where(table.c.ticket_id == use.ticket.ticket_id))
    sql_changes.use_ticket(connection, use)


class UsesATicketTwice(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.UseTicket: _use_again})


def _replace_by_name(connection, put):
    table = schema.identities
    values = {field: getattr(put.identity, field) for field in ("serial", "revoked_at")}
    where = table.c.name == put.identity.name
    if not connection.execute(update(table).where(where).values(**values, revision=table.c.revision + 1)).rowcount:
        sql_changes.put_identity(connection, change.PutIdentity(replace(put.identity, revision=0)))


class PutsAnIdentityByName(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.PutIdentity: _replace_by_name})


def _clear_a_revocation(connection, put):
    table, identity = schema.identities, put.identity
    this = (table.c.name == identity.name) & (table.c.revision == identity.revision)
    connection.execute(update(table).where(this).values(revoked_at=None))
    sql_changes.put_identity(connection, put)


class ClearsARevocationByAnyChange(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.PutIdentity: _clear_a_revocation})


def _redeem_what_ended(connection, redemption):
    table = schema.enrolments
    connection.execute(update(table).where(table.c.token_hash == redemption.token_hash).values(ended_at=None))
    sql_changes.redeem_enrolment(connection, redemption)


class RedeemsACancelledToken(SQLiteMappingStore):
    changes = MappingProxyType({**SQLiteMappingStore.changes, change.RedeemEnrolment: _redeem_what_ended})


class LetsAnExternalUserBeClaimed(SQLiteMappingStore):
    changes = MappingProxyType(
        {**SQLiteMappingStore.changes, change.ClaimExternalUser: lambda _connection, _claim: None}
    )


SINS = {
    KnowsVersionsByTheirNumberAlone: "test_a_write_under_another_secret_of_the_same_number_is_stale",
    IgnoresTheEpoch: "test_an_epoch_that_is_over_is_fenced",
    IgnoresTheActiveVersion: "test_a_write_under_another_version_than_the_active_one_is_stale",
    ChecksTheGuardBeforeTheTransaction: "test_no_credential_is_committed_under_a_retired_version",
    LastWriterWins: "test_compare_and_swap_on_a_mapping",
    ReencryptOverwrites: "test_reencrypt_leaves_alone_what_changed_meanwhile",
    DestroysAVersionInUse: "test_a_version_is_never_destroyed_while_a_credential_is_under_it",
    GrantsTheLeaseToTwo: "test_the_lease_has_one_holder",
    KeepsTheEpochOfItsHolder: "test_the_epoch_rises_at_every_grant",
    ProlongsForACopyToo: "test_of_a_process_and_its_copy_only_one_prolongs_the_lease",
    LeasesNeverEnd: "test_a_lease_ends_by_the_clock_of_the_store",
    CommitsOneByOne: "test_a_commit_is_all_or_none",
    KeepsTheRowsOfADeletedApplication: "test_deleting_an_application_takes_its_mappings_and_credentials_along",
    BeginsEveryRevisionAtOne: "test_a_row_made_again_is_not_the_row_that_was_read_before",
    PagesByOffset: "test_pages_of_mappings_stay_steady_while_rows_change",
    UsesATicketTwice: "test_a_ticket_is_used_once",
    PutsAnIdentityByName: "test_compare_and_swap_on_an_identity",
    ClearsARevocationByAnyChange: "test_only_a_redemption_clears_a_revocation",
    RedeemsACancelledToken: "test_a_join_token_is_redeemed_once_and_not_after_its_end",
    LetsAnExternalUserBeClaimed: "test_an_external_user_of_another_row_is_not_claimed",
    FoldsCase: "test_names_that_look_alike_are_kept_apart",
}
ALSO = [
    (PutsAnIdentityByName, "test_of_a_renewal_a_revocation_and_a_redemption_at_once_one_wins"),
    (LetsAnExternalUserBeClaimed, "test_of_several_who_claim_an_external_user_at_once_one_gets_it"),
    (IgnoresTheActiveVersion, "test_no_credential_is_committed_under_a_retired_version"),
    (LastWriterWins, "test_writers_with_compare_and_swap_lose_nothing"),
    (CommitsOneByOne, "test_a_reader_never_sees_half_a_commit"),
]


def run(kind, path, test):
    """Run one test of the suite on a store of this kind."""

    opened = contextlib.ExitStack()

    def open_store():
        return opened.enter_context(contextlib.closing(kind(path / "mappings.db")))

    suite = MappingStoreConformance()
    fixture = MappingStoreConformance.store
    fixture = getattr(fixture, "__wrapped__", None) or fixture.__pytest_wrapped__.obj
    stores = fixture(suite, open_store)
    method = getattr(suite, test)
    with opened:
        given = {"open_store": open_store, "store": next(stores)}
        method(**{name: given[name] for name in inspect.signature(method).parameters})


@pytest.mark.parametrize(("kind", "test"), [*SINS.items(), *ALSO], ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_store_fails_the_test_that_is_named_after_its_sin(kind, test, tmp_path):
    with pytest.raises((AssertionError, KeysvcError, pytest.fail.Exception)):
        run(kind, tmp_path, test)


@pytest.mark.parametrize("test", sorted({*SINS.values(), *(test for _, test in ALSO)}))
def test_the_right_store_passes_it(test, tmp_path):
    run(SQLiteMappingStore, tmp_path, test)
