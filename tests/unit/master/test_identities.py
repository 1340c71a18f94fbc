"""Identities and join tokens: whoever changes one meanwhile, a revocation stays, and so does the end of a token."""

from __future__ import annotations

import threading
from collections import abc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from systems import SYSTEM_ID, System

from keysvc.crypto import certificates
from keysvc.errors import AccessDenied, KeysvcError, MappingStoreUnavailable, NotFound, Revoked
from keysvc.master import enrolment
from keysvc.master.enrolment import Identities
from keysvc.master.term import Term
from keysvc.model import Guard, Identity, Role, Severity, utc_now
from keysvc.plugin.changes import Change, PutIdentity, RedeemEnrolment
from keysvc.plugin.interfaces import MappingStore

WAIT = 30


class HeldBack:
    """A mapping store whose commit of one kind waits inside the window between reading and writing."""

    def __init__(self, store: MappingStore) -> None:
        self._store = store
        self.holds: abc.Callable[[Change], bool] = lambda _change: False
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, changes: abc.Sequence[Change], guard: Guard) -> None:
        if any(self.holds(change) for change in changes):
            self.holds = lambda _change: False
            self.reached.set()
            assert self.go_on.wait(WAIT)
        self._store.commit(changes, guard)


def renews(change: Change) -> bool:
    return isinstance(change, PutIdentity) and change.identity.revoked_at is None


def revokes(change: Change) -> bool:
    return isinstance(change, PutIdentity) and change.identity.revoked_at is not None


def redeems(change: Change) -> bool:
    return isinstance(change, RedeemEnrolment)


class Estate:
    """Identities on a store that can be held back."""

    def __init__(self, system: System) -> None:
        self.system, self.store = system, HeldBack(system.store())
        self.term = Term(self.store, timedelta(minutes=1))  # type: ignore[arg-type]
        self.term.take_or_refuse()
        self.identities = Identities(self.store, SYSTEM_ID, self.term, system.authority)  # type: ignore[arg-type]

    def enrolled(self, name: str = "web-01") -> str:
        """Its serial."""
        token = self.identities.enroll(name, Role.SERVER, "administrator")
        return self.redeemed(token.secret)[0].serial

    def redeemed(self, secret) -> tuple[Identity, bytes]:
        return self.identities.redeem(secret, certificates.request("any")[0])

    def during(self, held: abc.Callable[[Change], bool], slow, quick) -> tuple[object, object]:
        """What became of `slow`, whose commit waited, while `quick` ran whole."""
        self.store.holds = held
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(outcome, slow)
            assert self.store.reached.wait(WAIT)
            done = outcome(quick)
            self.store.go_on.set()
            return waiting.result(WAIT), done

    def stored(self, name: str = "web-01") -> Identity:
        found = self.system.store().identity(name)
        assert found is not None
        return found


def outcome(call) -> object:
    try:
        return call()
    except KeysvcError as error:
        return type(error)


@pytest.fixture
def estate(system: System, monkeypatch: pytest.MonkeyPatch) -> Estate:
    """Certificates may be renewed at any time."""
    monkeypatch.setattr(enrolment, "_may_be_renewed", lambda *_: True)
    return Estate(system)


def test_a_renewal_that_read_before_a_revocation_does_not_undo_it(estate: Estate) -> None:
    serial, request = estate.enrolled(), certificates.request("web-01")[0]
    renewed, revoked = estate.during(
        renews,
        lambda: estate.identities.renew("web-01", serial, request),
        lambda: estate.identities.revoke("web-01", "administrator"),
    )
    assert (revoked, isinstance(renewed, type) and issubclass(renewed, KeysvcError)) == (None, True)
    assert estate.stored().revoked_at is not None
    assert estate.stored() in estate.identities.all()


def test_a_revocation_that_read_before_a_renewal_revokes_the_new_certificate(estate: Estate) -> None:
    serial, request = estate.enrolled(), certificates.request("web-01")[0]
    revoked, renewed = estate.during(
        revokes,
        lambda: estate.identities.revoke("web-01", "administrator"),
        lambda: estate.identities.renew("web-01", serial, request),
    )
    assert (revoked, isinstance(renewed, bytes)) == (None, True)
    assert (estate.stored().revoked_at is not None, estate.stored().previous_serial) == (True, serial)


def test_a_redemption_that_read_before_a_revocation_lets_nobody_in(estate: Estate) -> None:
    estate.enrolled()
    token = estate.identities.enroll("web-01", Role.SERVER, "administrator")
    redeemed, revoked = estate.during(
        redeems,
        lambda: estate.redeemed(token.secret),
        lambda: estate.identities.revoke("web-01", "administrator"),
    )
    assert (redeemed, revoked) == (AccessDenied, None)
    assert estate.stored().revoked_at is not None


def test_join_tokens_end_with_the_revocation_of_their_name(estate: Estate) -> None:
    estate.enrolled()
    tokens = [estate.identities.enroll("web-01", role, "administrator") for role in (Role.SERVER, Role.ADMINISTRATOR)]
    other = estate.identities.enroll("web-02", Role.SERVER, "administrator")
    estate.identities.revoke("web-01", "administrator")
    for token in tokens:
        with pytest.raises(AccessDenied, match="cancelled"):
            estate.redeemed(token.secret)
    assert [token.name for token in estate.identities.tokens()] == ["web-02"]
    assert estate.redeemed(other.secret)[0].name == "web-02"
    again = estate.identities.enroll("web-01", Role.SERVER, "administrator")
    estate.identities.revoke("web-01", "administrator")  # it is revoked already, and has a token again
    with pytest.raises(AccessDenied, match="cancelled"):
        estate.redeemed(again.secret)
    estate.redeemed(estate.identities.enroll("web-01", Role.SERVER, "administrator").secret)
    assert estate.stored().revoked_at is None


def test_join_tokens_are_listed_and_cancelled_by_name(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    token = estate.identities.enroll("web-03", Role.SERVER, "administrator")
    estate.identities.enroll("web-03", Role.SERVER, "administrator")
    assert [each.name for each in estate.identities.tokens()] == ["web-03", "web-03"]
    assert estate.identities.cancel_tokens("web-03", "administrator") == 2
    with pytest.raises(AccessDenied, match="cancelled"):
        estate.redeemed(token.secret)
    with pytest.raises(NotFound, match="no join token of web-03"):
        estate.identities.cancel_tokens("web-03", "administrator")
    entry = estate.system.store().audit(limit=100)[-1]
    assert (entry.action, entry.actor, entry.detail) == ("identity.token-cancelled", "administrator", {"tokens": 2})
    estate.identities.enroll("web-03", Role.SERVER, "administrator")
    monkeypatch.setattr(enrolment, "utc_now", lambda: utc_now() + timedelta(hours=2))
    assert estate.identities.tokens() == []


def test_a_new_join_token_deletes_those_that_expired(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    used, unused, young = (estate.identities.enroll(f"web-{n}", Role.SERVER, "administrator") for n in range(3))
    estate.redeemed(used.secret)
    hash_of = enrolment.token_hash
    monkeypatch.setattr(enrolment, "utc_now", lambda: utc_now() + timedelta(hours=2))
    again = estate.identities.enroll("web-2", Role.SERVER, "administrator")
    kept = [estate.system.store().enrolment(hash_of(each.secret)) for each in (used, unused, young, again)]
    assert [each is not None for each in kept] == [False, False, False, True]


def test_an_owner_whose_renewal_is_refused_after_a_copy_of_its_key_renewed_is_reported_once(estate: Estate) -> None:
    serial, request = estate.enrolled(), certificates.request("web-01")[0]
    for _ in range(2):
        estate.identities.renew("web-01", serial, request)
    for _ in range(2):
        with pytest.raises(AccessDenied, match="was replaced"):
            estate.identities.renew("web-01", serial, request)
    contested = [each for each in estate.system.store().events(100) if each.kind == "certificate.contested"]
    assert [(each.severity, each.detail) for each in contested] == [
        (Severity.WARNING, {"subject": "web-01", "role": "server"})
    ]


def test_a_revocation_whose_answer_was_lost_counts_once_it_is_repeated(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial = estate.enrolled()
    commit = estate.store.commit

    def lose(changes: abc.Sequence[Change], guard: Guard) -> None:
        commit(changes, guard)
        raise MappingStoreUnavailable("cut off by the test")

    with monkeypatch.context() as patch:
        patch.setattr(estate.store, "commit", lose)
        with pytest.raises(MappingStoreUnavailable):
            estate.identities.revoke("web-01", "administrator")
    with pytest.raises(Revoked):
        estate.identities.renew("web-01", serial, certificates.request("web-01")[0])
    assert [each.revoked_at is None for each in estate.identities.all() if each.name == "web-01"] == [False]
    estate.identities.revoke("web-01", "administrator")
