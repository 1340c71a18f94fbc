"""What an SSO server keeps decrypted in memory, and how old an answer may be."""

from __future__ import annotations

from collections import abc
from dataclasses import replace

import pytest
from systems import System

from keysvc.errors import AccessDenied, AuthorizerUnavailable, MappingStoreUnavailable, NotFound
from keysvc.model import Guard, SecretText
from keysvc.plugin.changes import PutApplication, PutSystem
from keysvc.sso import SSO, authorization, credential_cache, found, lookup_audit
from keysvc.sso.credential_cache import CredentialCache
from keysvc.sso.credential_writer import NewCredential, Stored
from keysvc.sso.credentials import Credential
from keysvc.sso.requests import credentials

INTERVAL = 30.0
MINUTE = 60.0


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class StoreThatMayBeAway:
    """A real mapping store, and the number of times that a credential was read from it."""

    def __init__(self, store: object) -> None:
        self.store, self.away, self.reads = store, False, 0

    def __getattr__(self, name: str) -> object:
        if self.away and name != "close":
            raise MappingStoreUnavailable("cut off by the test")
        self.reads += name == "look_up"
        return getattr(self.store, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    for module in (credential_cache, lookup_audit, credentials, authorization, found):
        monkeypatch.setattr(module, "elapsed", stopped)
    return stopped


@pytest.fixture
def store(system: System, clock: Clock) -> StoreThatMayBeAway:
    return StoreThatMayBeAway(system.store())


@pytest.fixture
def sso(system: System, store: StoreThatMayBeAway, monkeypatch: pytest.MonkeyPatch) -> SSO:
    """Anna's password for SAP is `old`. The interval is 30 s of the clock that stands still."""
    system.with_users("anna")
    system.start()
    server, _ = system.sso(store=store)
    monkeypatch.setattr(server._credentials, "_interval", lambda: INTERVAL)
    server.set_credential("SAP", user="anna", password="old")
    store.reads = 0
    return server


@pytest.fixture
def another(system: System, sso: SSO) -> SSO:
    return system.sso("web-02")[0]


def password(sso: SSO, *, fresh: bool = False) -> str:
    return sso.credential("SAP", user="anna", fresh=fresh)["password"].reveal()


def with_settings(system: System, **changed: int) -> None:
    record = system.store().system()
    assert record is not None
    system.store().commit([PutSystem(replace(record, settings=replace(record.settings, **changed)))], Guard())


def test_a_second_lookup_does_not_ask_the_mapping_store(sso: SSO, store: StoreThatMayBeAway) -> None:
    assert [password(sso), password(sso)] == ["old", "old"]
    assert store.reads == 1
    assert sso.credential("SAP", user="anna") is sso.credential("SAP", user="anna")


def test_what_this_server_stored_deleted_or_remapped_is_seen_at_once(sso: SSO) -> None:
    password(sso)
    sso.set_credential("SAP", user="anna", password="new")
    assert password(sso) == "new"
    sso.set_credential("SAP", user="anna", external_user="ANNE", password="new")
    assert sso.credential("SAP", user="anna").external_user == "ANNE"
    sso.delete_credential("SAP", user="anna")
    with pytest.raises(NotFound):
        password(sso)


def test_who_just_stored_a_credential_can_look_it_up_while_the_mapping_store_is_away(
    sso: SSO, store: StoreThatMayBeAway, clock: Clock
) -> None:
    before = sso.credential("SAP", user="anna")
    sso.set_credential("SAP", user="anna", external_user="ANNE", password="new")
    store.away = True
    clock.now += INTERVAL
    found = sso.credential("SAP", user="anna")
    assert (found["password"].reveal(), found.external_user) == ("new", "ANNE")
    assert found.revision == before.revision + 1


def test_a_write_that_failed_or_may_have_failed_leaves_memory_for_an_outage_only(
    sso: SSO, store: StoreThatMayBeAway, another: SSO
) -> None:
    password(sso)
    store.away = True
    with pytest.raises(MappingStoreUnavailable):
        sso.set_credential("SAP", user="anna", password="lost")
    with pytest.raises(MappingStoreUnavailable):
        sso.administration.enable_mapping("SAP", "anna", enabled=False)
    assert password(sso) == "old"
    store.away = False
    another.set_credential("SAP", user="anna", password="new")
    sso._credentials.expire("SAP", "anna")  # as a commit does whose answer was lost
    assert password(sso) == "new"


def test_an_import_keeps_in_memory_what_it_did_not_change_and_what_it_stored(
    sso: SSO, store: StoreThatMayBeAway
) -> None:
    sso.set_credential("SAP", user="bert", external_user="BERT", password="old")
    sso.set_credential("SAP", user="carl", external_user="CARL", password="old")
    for user in ("anna", "bert", "carl"):
        sso.credential("SAP", user=user)
    news = [
        NewCredential("anna", {"Password": SecretText("new")}),
        NewCredential("bert", {"Password": SecretText("old")}, "BERTA"),
    ]
    assert [*sso.store_credentials("SAP", news)] == [Stored(updated=2, lost=("anna: Password is replaced",))]
    assert sso.credential("SAP", user="bert").external_user == "BERTA"
    store.away = True
    assert [sso.credential("SAP", user=user)["password"].reveal() for user in ("anna", "bert", "carl")] == [
        "new",
        "old",
        "old",
    ]


def test_what_another_server_stored_is_seen_after_one_interval_and_never_later(
    sso: SSO, another: SSO, clock: Clock
) -> None:
    password(sso)
    another.set_credential("SAP", user="anna", password="new")
    clock.now += INTERVAL - 0.001
    assert password(sso) == "old"
    clock.now += 0.001
    assert password(sso) == "new"


def test_a_lookup_that_must_be_fresh_is_and_helps_the_next_one(sso: SSO, another: SSO) -> None:
    password(sso)
    another.set_credential("SAP", user="anna", password="new")
    assert password(sso) == "old"
    assert password(sso, fresh=True) == "new"
    assert password(sso) == "new"


def test_a_lookup_by_external_user_is_always_fresh(sso: SSO, another: SSO, system: System) -> None:
    application = system.administration().application("SAP")
    flags = replace(application.flags, host_initiated=True, validate_password=False)
    system.store().commit([PutApplication(replace(application, flags=flags))], Guard())
    password(sso)
    another.set_credential("SAP", user="anna", password="new")
    assert sso.lookup("SAP", external_user="ANNA")["password"].reveal() == "new"


def test_what_was_disabled_is_refused_after_one_interval_and_forgotten(
    sso: SSO, system: System, clock: Clock, store: StoreThatMayBeAway
) -> None:
    password(sso)
    system.administration().enable_mapping("SAP", "anna", enabled=False)
    clock.now += INTERVAL
    with pytest.raises(AccessDenied):
        password(sso)
    store.away = True
    with pytest.raises(MappingStoreUnavailable):
        password(sso)


def test_while_the_mapping_store_is_away_what_is_in_memory_is_answered_for_an_hour(
    sso: SSO, store: StoreThatMayBeAway, clock: Clock
) -> None:
    password(sso)
    store.away = True
    clock.now += 60 * MINUTE - 1
    assert password(sso) == "old"
    with pytest.raises(MappingStoreUnavailable):
        password(sso, fresh=True)
    clock.now += 1
    with pytest.raises(MappingStoreUnavailable):
        password(sso)


def test_the_mapping_store_that_came_back_is_asked_within_one_interval(
    sso: SSO, another: SSO, store: StoreThatMayBeAway, clock: Clock
) -> None:
    password(sso)
    clock.now += INTERVAL
    store.away = True
    assert password(sso) == "old"
    store.away = False
    another.set_credential("SAP", user="anna", password="new")
    clock.now += INTERVAL
    assert password(sso) == "new"


@pytest.mark.parametrize("minutes", [0, 1])
def test_the_system_says_for_how_many_minutes(
    sso: SSO, system: System, store: StoreThatMayBeAway, clock: Clock, minutes: int
) -> None:
    with_settings(system, credential_cache_minutes=minutes)
    clock.now += INTERVAL
    password(sso)
    store.away = True
    clock.now += minutes * MINUTE - 1 if minutes else 0
    if minutes:
        assert password(sso) == "old"
        clock.now += 1
    with pytest.raises(MappingStoreUnavailable):
        password(sso)


def test_a_lifetime_that_was_shortened_holds_for_what_is_in_memory_already(
    sso: SSO, system: System, store: StoreThatMayBeAway, clock: Clock
) -> None:
    sso.set_credential("SAP", user="bert", external_user="BERT", password="x")
    password(sso)
    sso.credential("SAP", user="bert")
    with_settings(system, credential_cache_minutes=1)
    clock.now += MINUTE
    sso.credential("SAP", user="bert")
    store.away = True
    with pytest.raises(MappingStoreUnavailable):
        password(sso)


def test_an_application_that_forbids_it_is_never_kept(sso: SSO, system: System, store: StoreThatMayBeAway) -> None:
    application = system.administration().application("SAP")
    flags = replace(application.flags, disable_credential_cache=True)
    system.store().commit([PutApplication(replace(application, flags=flags))], Guard())
    assert [password(sso), password(sso)] == ["old", "old"]
    assert store.reads == 2
    store.away = True
    with pytest.raises(MappingStoreUnavailable):
        password(sso)


def test_purging_forgets_one_application_or_all(sso: SSO, system: System, store: StoreThatMayBeAway) -> None:
    administration = system.administration()
    administration.create_application("ERP", administration.application("SAP").fields)
    administration.enable_application("ERP", enabled=True)
    sso.set_credential("ERP", user="anna", external_user="A", password="x")
    for purged in ("ERP", "SAP", None):
        password(sso)
        sso.credential("ERP", user="anna")
        before = store.reads
        assert sso.purge_cache(purged) == (2 if purged is None else 1)
        password(sso)
        assert store.reads - before == (purged != "ERP")


def test_what_was_read_while_somebody_stored_is_not_kept(clock: Clock) -> None:
    cache = CredentialCache(lambda: INTERVAL, lambda: MINUTE)

    def read_an_old_value_and_then_another_thread_stores() -> tuple[Credential, bool]:
        cache.forget("SAP", "anna")
        return a_credential("anna"), True

    cache.through("SAP", "anna", read_an_old_value_and_then_another_thread_stores, must_be_fresh=False)
    assert cache.fresh("SAP", "anna", clock.now) is None


def test_an_outage_of_the_authorizer_forgets_nothing_and_a_refusal_does(clock: Clock) -> None:
    cache = CredentialCache(lambda: INTERVAL, lambda: MINUTE)
    cache.through("SAP", "anna", lambda: (a_credential("anna"), True), must_be_fresh=False)
    for error, kept in ((AuthorizerUnavailable("away"), True), (AccessDenied("disabled"), False)):

        def fail(error: AccessDenied = error) -> tuple[Credential, bool]:
            raise error

        with pytest.raises(type(error)):
            cache.through("SAP", "anna", fail, must_be_fresh=True)
        assert (cache.fresh("SAP", "anna", clock.now) is not None) is kept


def test_the_cache_is_bounded_and_what_ended_leaves_memory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_cache, "MAXIMUM_ENTRIES", 3)
    cache = CredentialCache(lambda: INTERVAL, lambda: MINUTE)
    for user in ("a", "b", "c", "a", "d"):
        cache.through("SAP", user, lambda user=user: (a_credential(user), True), must_be_fresh=False)
    assert [user for user in "abcd" if cache.fresh("SAP", user, clock.now)] == ["a", "c", "d"]
    clock.now += MINUTE - 1
    cache.sweep()
    assert cache.forget("SAP", "a") == 1
    clock.now += 1
    cache.sweep()
    assert cache.forget() == 0


def test_no_caller_can_change_what_the_next_one_gets(sso: SSO) -> None:
    found = sso.credential("SAP", user="anna")
    assert isinstance(found.fields, abc.Mapping)
    assert not isinstance(found.fields, abc.MutableMapping)


def a_credential(user: str) -> Credential:
    return Credential("SAP", user, user.upper(), {}, frozenset(), 1, 1)
