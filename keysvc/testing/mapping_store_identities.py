"""The part of the conformance suite of mapping stores that is about identities, join tokens and external users."""

from __future__ import annotations

import functools
from collections import abc
from dataclasses import replace
from datetime import timedelta

import pytest

from keysvc.errors import Conflict, NotFound
from keysvc.model import Enrolment, Identity, Mapping, Role
from keysvc.plugin.changes import (
    UNGUARDED,
    Change,
    ClaimExternalUser,
    ForgetEnrolments,
    PutEnrolment,
    PutIdentity,
    PutMapping,
    RedeemEnrolment,
)
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.mapping_store_races import at_once
from keysvc.testing.mapping_store_samples import AT, MINUTE, OpenStore

WEB = Identity("web", Role.SERVER, "0a", AT, expires_at=AT + MINUTE)
TOKEN = Enrolment("ab" * 32, "web", Role.SERVER, AT + MINUTE)
ROUNDS = 10


def won(store: MappingStore, changes: abc.Sequence[Change]) -> bool:
    """Whether the commit was made; False when it lost by Conflict."""
    try:
        store.commit(changes, UNGUARDED)
    except Conflict:
        return False
    return True


class MappingStoreIdentities:
    """Part of `MappingStoreConformance`."""

    def test_compare_and_swap_on_an_identity(self, store: MappingStore) -> None:
        admin = Identity("admin", Role.ADMINISTRATOR, "0c", AT)
        store.commit([PutIdentity(WEB), PutIdentity(admin)], UNGUARDED)
        first = replace(WEB, revision=1)
        assert (store.identity("web"), store.identity("WEB")) == (first, None)
        renewed = replace(first, serial="0b", previous_serial="0a", previous_may_renew=True)
        store.commit([PutIdentity(renewed)], UNGUARDED)
        for stale in (first, WEB, replace(first, revision=3)):
            assert not won(store, [PutIdentity(stale)])
        assert list(store.identities()) == [replace(admin, revision=1), replace(renewed, revision=2)]
        assert not won(store, [PutIdentity(replace(first, name="new"))])

    def test_only_a_redemption_clears_a_revocation(self, store: MappingStore) -> None:
        store.commit([PutIdentity(WEB), PutEnrolment(TOKEN)], UNGUARDED)
        revoked = replace(WEB, revoked_at=AT, revision=1)
        store.commit([PutIdentity(revoked)], UNGUARDED)
        assert not won(store, [PutIdentity(replace(WEB, serial="0b", revision=2))])
        store.commit([PutIdentity(replace(revoked, revoked_at=AT + MINUTE, revision=2))], UNGUARDED)
        again = replace(WEB, serial="0d", revision=3)
        store.commit([RedeemEnrolment(TOKEN.token_hash, 1, AT, again)], UNGUARDED)
        assert store.identity("web") == replace(again, revision=4)

    def test_compare_and_swap_on_a_join_token(self, store: MappingStore) -> None:
        other = replace(TOKEN, token_hash="cd" * 32, name="a")
        store.commit([PutEnrolment(TOKEN), PutEnrolment(other)], UNGUARDED)
        assert not won(store, [PutEnrolment(TOKEN)])
        first = replace(TOKEN, revision=1)
        assert list(store.enrolments()) == [replace(other, revision=1), first]
        store.commit([PutEnrolment(replace(first, ended_at=AT))], UNGUARDED)
        assert not won(store, [PutEnrolment(first)])
        assert store.enrolment(TOKEN.token_hash) == replace(first, ended_at=AT, revision=2)
        assert list(store.enrolments()) == [replace(other, revision=1)]
        assert store.enrolment("ef" * 32) is None

    def test_a_join_token_is_redeemed_once_and_not_after_its_end(self, store: MappingStore) -> None:
        ended = replace(TOKEN, token_hash="cd" * 32)
        store.commit([PutEnrolment(TOKEN), PutEnrolment(ended)], UNGUARDED)
        store.commit([PutEnrolment(replace(ended, ended_at=AT, revision=1))], UNGUARDED)
        for revision in (1, 2):
            assert not won(store, [RedeemEnrolment(ended.token_hash, revision, AT, WEB)])
        for other in (replace(WEB, name="admin"), replace(WEB, role=Role.ADMINISTRATOR)):
            assert not won(store, [RedeemEnrolment(TOKEN.token_hash, 1, AT, other)])
        assert not won(store, [RedeemEnrolment(TOKEN.token_hash, 2, AT, WEB)])
        store.commit([RedeemEnrolment(TOKEN.token_hash, 1, AT, WEB)], UNGUARDED)
        for revision in (1, 2):
            assert not won(store, [RedeemEnrolment(TOKEN.token_hash, revision, AT, replace(WEB, revision=1))])
        with pytest.raises(NotFound):
            store.commit([RedeemEnrolment("ef" * 32, 1, AT, WEB)], UNGUARDED)
        assert store.enrolment(TOKEN.token_hash) == replace(TOKEN, redeemed_at=AT, revision=2)
        assert list(store.identities()) == [replace(WEB, revision=1)]
        assert not store.enrolments()

    def test_join_tokens_that_expired_are_deleted_used_or_not(self, store: MappingStore) -> None:
        used, later = replace(TOKEN, token_hash="cd" * 32), TOKEN.expires_at + timedelta(seconds=1)
        open_ = replace(TOKEN, token_hash="ef" * 32, expires_at=later, revision=1)
        store.commit([PutEnrolment(TOKEN), PutEnrolment(used), PutEnrolment(replace(open_, revision=0))], UNGUARDED)
        store.commit([RedeemEnrolment(used.token_hash, 1, AT, WEB)], UNGUARDED)
        store.commit([ForgetEnrolments(later)], UNGUARDED)
        assert [store.enrolment(each.token_hash) for each in (TOKEN, used, open_)] == [None, None, open_]

    def test_of_a_renewal_a_revocation_and_a_redemption_at_once_one_wins(
        self, store: MappingStore, open_store: OpenStore
    ) -> None:
        stores = [open_store() for _ in range(3)]
        for number in range(ROUNDS):
            read = replace(WEB, name=f"web-{number}", revision=1)
            token = replace(TOKEN, name=read.name, token_hash=f"{number:064x}", revision=1)
            store.commit([PutIdentity(replace(read, revision=0)), PutEnrolment(replace(token, revision=0))], UNGUARDED)
            wanted: list[list[Change]] = [
                [PutIdentity(replace(read, serial="0b"))],
                [PutIdentity(replace(read, revoked_at=AT)), PutEnrolment(replace(token, ended_at=AT))],
                [RedeemEnrolment(token.token_hash, 1, AT, replace(read, serial="0c"))],
            ]
            done = at_once([functools.partial(won, *each) for each in zip(stores, wanted, strict=True)])
            found = store.identity(read.name)
            assert found is not None
            assert sum(map(bool, done)) == 1
            assert (found.revision, found.revoked_at is not None) == (2, done[1])
        for own in stores:
            own.close()

    def test_an_external_user_of_another_row_is_not_claimed(self, store: MappingStore) -> None:
        store.commit([PutMapping(Mapping("SAP", "alice", "A"))], UNGUARDED)
        bob = PutMapping(Mapping("SAP", "bob", "A", enabled=True))
        assert not won(store, [ClaimExternalUser("SAP", "bob", "A"), bob])
        assert store.mapping("SAP", "bob") is None
        for harmless in (ClaimExternalUser("SAP", "alice", "A"), ClaimExternalUser("SAP", "bob", "a")):
            store.commit([harmless], UNGUARDED)
        store.commit([bob], UNGUARDED)

    def test_of_several_who_claim_an_external_user_at_once_one_gets_it(
        self, store: MappingStore, open_store: OpenStore
    ) -> None:
        stores = [open_store() for _ in range(4)]
        for number in range(ROUNDS):
            external_user, names = f"x{number}", [f"u{number}-{each}" for each in range(len(stores))]
            claims: list[list[Change]] = [
                [ClaimExternalUser("SAP", name, external_user), PutMapping(Mapping("SAP", name, external_user))]
                for name in names
            ]
            done = at_once([functools.partial(won, *each) for each in zip(stores, claims, strict=True)])
            assert sum(map(bool, done)) == len(store.mappings_of_external_user("SAP", external_user)) == 1
        for own in stores:
            own.close()
