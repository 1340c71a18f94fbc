"""Each fault at each call of seal and unseal: nothing is lost, and what passes by itself is not noticed."""

from __future__ import annotations

import os
from collections import abc

import pytest
from keysvc_pkcs11 import process

from keysvc.plugin import KeyStoreError, KeyStoreUnavailable, VersionNotFound
from keysvc.testing.key_store import secret

PASSING = (
    "CKR_DEVICE_REMOVED",
    "CKR_SESSION_HANDLE_INVALID",
    "CKR_GENERAL_ERROR",
    "CKR_HOST_MEMORY",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_USER_NOT_LOGGED_IN",
    "CKR_DEVICE_ERROR",
    "crash",
    "exit",
)
LASTING = ("CKR_PIN_LOCKED", "CKR_DEVICE_MEMORY", "CKR_TOKEN_WRITE_PROTECTED", "CKR_FUNCTION_REJECTED", "0x80000001")
EVERY_FAULT_AT_EVERY_CALL = bool(os.environ.get("KEYSVC_ALL_FAULTS"))
MOST_CALLS = 400
kek = secret(1)


def seal(store) -> None:
    store.seal(secret(2))
    assert store.unseal(2) == secret(2)


def unseal(store) -> None:
    assert store.unseal(1) == kek


def start(store) -> None:
    store.close()
    assert list(store.versions()) == [1]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PAUSES_SECONDS", (0.0, 0.0))


@pytest.fixture
def store(shim, opened):
    opened_store = opened(shim.softhsm.url(more="&timeout=20"))
    opened_store.seal(kek)
    return opened_store


def positions(shim, act: abc.Callable[[object], None], store, share: int, shares: int) -> abc.Iterator[int]:
    """Of the calls that `act` makes; every one of them, or this share, so that the shares together are all."""
    shim.calls()
    act(store)
    calls = len(shim.calls())
    assert 5 < calls < MOST_CALLS
    yield from range(calls) if EVERY_FAULT_AT_EVERY_CALL else range(share, calls, shares)


def assert_nothing_is_lost(store) -> None:
    """Version 1 is whole, version 2 is whole or not there. Then as before."""
    assert store.unseal(1) == kek
    try:
        assert store.unseal(2) == secret(2)
    except VersionNotFound:
        assert list(store.versions()) == [1]
    store.destroy(2)


def refusals(act: abc.Callable[[object], None], store) -> list[KeyStoreError]:
    try:
        act(store)
    except KeyStoreError as error:
        return [error]
    return []


@pytest.mark.parametrize("act", [start, seal, unseal])
@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_not_noticed_by_the_caller(shim, store, told, act, fault: str) -> None:
    for position in positions(shim, act, store, PASSING.index(fault), len(PASSING)):
        assert_nothing_is_lost(store)
        told.on_first = shim.heal
        shim.fail(f"* after={position} times=1 {fault}")
        act(store)
        shim.heal()
    assert_nothing_is_lost(store)


@pytest.mark.parametrize("act", [start, seal, unseal])
@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_a_person_must_mend_is_one_clear_line(shim, store, act, fault: str) -> None:
    for position in positions(shim, act, store, LASTING.index(fault), len(LASTING)):
        assert_nothing_is_lost(store)
        shim.fail(f"* after={position} times=1 {fault}")
        for error in refusals(act, store):
            assert "token" in str(error)
            assert "\n" not in str(error)
            assert error.hint
        shim.heal()
    assert_nothing_is_lost(store)


@pytest.mark.parametrize("function", ["C_Initialize", "C_Login", "C_EncryptInit", "C_CreateObject", "C_FindObjects"])
def test_a_hang_anywhere_costs_one_repeated_call(shim, opened, told, function: str) -> None:
    store = opened(shim.softhsm.url(more="&timeout=3"))
    shim.fail(f"{function} hang")
    told.on_first = shim.heal
    store.seal(kek)
    assert store.unseal(1) == kek


@pytest.mark.parametrize("fault", ["CKR_DEVICE_REMOVED", "crash"])
def test_one_key_is_made_whatever_happens_at_the_first_seal(shim, opened, told, fault: str) -> None:
    shim.calls()
    opened(shim.softhsm.url(path="token=prod;object=first")).seal(secret(1))
    calls = len(shim.calls())
    for position in range(PASSING.index(fault) % 8, calls, 8):
        store = opened(shim.softhsm.url(path=f"token=prod;object=at-{position}"))
        told.on_first = shim.heal
        shim.fail(f"* after={position} times=1 {fault}")
        store.seal(secret(1))
        shim.heal()
        assert store.unseal(1) == secret(1)
        store.close()
    labels = shim.softhsm.run("""
answer = [key[Attribute.LABEL] for key in session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})]
""")
    assert len(labels) == len(set(labels))


def test_a_device_that_fails_for_long_is_unavailable_and_then_well_again(shim, store) -> None:
    shim.fail("* CKR_DEVICE_ERROR")
    for attempt in (store.versions, lambda: store.unseal(1), lambda: store.seal(secret(2)), lambda: store.destroy(1)):
        with pytest.raises(KeyStoreUnavailable, match="CKR_DEVICE_ERROR"):
            attempt()
    shim.heal()
    assert_nothing_is_lost(store)


def test_a_decryption_that_fails_for_long_is_never_called_tampering(shim, store) -> None:
    shim.fail("C_Decrypt CKR_GENERAL_ERROR")
    with pytest.raises(KeyStoreUnavailable, match="CKR_GENERAL_ERROR"):
        store.unseal(1)
    shim.heal()
    assert store.unseal(1) == kek


@pytest.mark.parametrize("fault", ["CKR_GENERAL_ERROR", "CKR_DEVICE_ERROR", "CKR_SESSION_HANDLE_INVALID"])
def test_a_fault_that_passes_never_changes_the_mechanism(shim, opened, told, fault: str) -> None:
    store = opened(shim.softhsm.url())
    told.on_first = shim.heal
    shim.fail(f"C_EncryptInit times=1 {fault}")
    store.seal(kek)
    assert "AES-GCM" in store.info().root


def test_a_slow_token_is_waited_for(shim, store) -> None:
    shim.fail("* delay=20")
    assert store.unseal(1) == kek


def test_a_token_without_another_session_says_so(shim, store, opened, monkeypatch) -> None:
    monkeypatch.setenv("PKCS11_SHIM_MAX_SESSIONS", "0")
    shim.fail("C_OpenSession CKR_SESSION_COUNT")
    with pytest.raises(KeyStoreUnavailable, match="CKR_SESSION_COUNT") as refused:
        opened(shim.softhsm.url()).versions()
    assert "session" in refused.value.hint
