"""Every credential is decrypted, whatever happens to it meanwhile, and what does not decrypt is named."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from rows import fill
from systems import System

from keysvc.crypto.credentials import CredentialCipher
from keysvc.master import verification
from keysvc.master.verification import UndecryptableCredential, VersionCount, verify
from keysvc.model import Guard, SecretText, VersionRecord, VersionState
from keysvc.plugin import paging
from keysvc.plugin.changes import DeleteCredential, PutCredential, PutVersion


@pytest.fixture(autouse=True)
def in_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 10)


def add_version(system: System) -> None:
    """Version 2 is active, version 1 retires, and nothing is re-encrypted yet."""
    system.start()
    secret = system.master.rotation._secrets.generate(system.store().versions())
    system.stop()
    one = system.store().versions()[0]
    two = VersionRecord(2, VersionState.ACTIVE, secret.created_at, secret.check_value)
    system.store().commit([PutVersion(replace(one, state=VersionState.RETIRING)), PutVersion(two)], Guard())


def fetched(system: System, *versions: int) -> list:
    return [system.key_store().unseal(version) for version in versions or system.key_store().versions()]


def test_all_are_decrypted_and_counted_by_version(system: System) -> None:
    fill(system, 25)
    add_version(system)
    fill(system, 15, version=2)
    done: list[int] = []
    found = verify(system.store(), system.system_id, lambda: fetched(system), done.append)
    assert (found.rows, found.undecryptable_rows, found.undecryptable) == (40, 0, ())
    assert found.versions == (VersionCount(1, 25, 0), VersionCount(2, 15, 0))
    assert done == [10, 20, 30, 40]


def test_what_does_not_decrypt_is_named_and_does_not_stop_the_rest(system: System) -> None:
    fill(system, 25)
    store = system.store()
    bad = store.credential("SAP", "user-1-00013")
    store.commit([PutCredential(replace(bad, ciphertext=bad.ciphertext[:-1] + b"?"))], Guard())
    found = verify(store, system.system_id, lambda: fetched(system))
    assert (found.rows, found.undecryptable_rows) == (25, 1)
    assert found.undecryptable == (UndecryptableCredential("SAP", "user-1-00013", 1),)


def test_rows_of_a_version_that_cannot_be_had_do_not_decrypt_and_names_are_bounded(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "NAMED", 3)
    fill(system, 25)
    add_version(system)
    asked: list[int] = []

    def fetch() -> list:
        asked.append(1)
        return fetched(system, 2)

    found = verify(system.store(), system.system_id, fetch)
    assert (found.undecryptable_rows, len(found.undecryptable), len(asked)) == (25, 3, 2)


def test_a_row_that_a_rotation_moves_meanwhile_is_decrypted_under_its_new_version(system: System) -> None:
    fill(system, 25)

    def rotate_behind_its_back(done: int) -> None:
        if done == 10:
            add_version(system)
            store, [one, two] = system.store(), fetched(system)
            application = store.application("SAP")
            for row in store.credentials(limit=100):
                plain = CredentialCipher(one, system.system_id).decrypt_plain(application, row.user, row.ciphertext)
                ciphertext = CredentialCipher(two, system.system_id).encrypt_plain(application, row.user, plain)
                store.commit([PutCredential(replace(row, version=2, ciphertext=ciphertext))], Guard())

    found = verify(system.store(), system.system_id, lambda: fetched(system), rotate_behind_its_back)
    assert (found.rows, found.undecryptable_rows) == (25, 0)
    assert found.versions == (VersionCount(1, 10, 0), VersionCount(2, 15, 0))


@pytest.mark.parametrize("change", ["deleted", "set anew", "made again"])
def test_a_row_that_changes_between_the_page_and_the_look_is_no_failure(system: System, change: str) -> None:
    fill(system, 5)
    store = system.store()
    page = store.credentials

    def page_and_then_change(**asked: object) -> object:
        found = page(**asked)
        if found:
            changed_after(found[2])
            found[2] = replace(
                found[2], ciphertext=found[2].ciphertext[:-1] + b"?"
            )  # else what was read decrypts still
        return found

    def changed_after(row: object) -> None:
        administration = system.administration()
        if change == "deleted":
            store.commit([DeleteCredential("SAP", row.user)], Guard())
        elif change == "set anew":
            cipher = CredentialCipher(fetched(system)[0], system.system_id)
            ciphertext = cipher.encrypt(store.application("SAP"), row.user, {"Password": SecretText("new")})
            store.commit([PutCredential(replace(row, ciphertext=ciphertext))], Guard())
        else:
            administration.delete_application("SAP")
            fill(system, 5)

    store.credentials = page_and_then_change
    found = verify(store, system.system_id, lambda: fetched(system))
    assert found.undecryptable_rows == 0
    assert found.rows == (4 if change == "deleted" else 5)


def test_memory_does_not_grow_with_the_number_of_rows(system: System) -> None:
    fill(system, 2000)
    store, secrets = system.store(), fetched(system)
    peaks: list[int] = []
    verify(store, system.system_id, lambda: secrets)
    tracemalloc.start()
    try:
        verify(store, system.system_id, lambda: secrets, lambda _done: peaks.append(tracemalloc.get_traced_memory()[1]))
    finally:
        tracemalloc.stop()
    assert peaks[-1] - peaks[20] < 100_000  # 1,800 rows are half a megabyte
