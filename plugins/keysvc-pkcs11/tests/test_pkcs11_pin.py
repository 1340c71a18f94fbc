"""A wrong PIN is tried once, a token is never locked, and the PIN is shown nowhere."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from keysvc.plugin import KeyStoreError, KeyStoreUnavailable, SecretText
from keysvc.testing.conformance import told as all_told
from keysvc.testing.key_store import secret

WRONG = "00000000"
PIN = "48151623"
COUNT_LOW, FINAL_TRY, LOCKED = "0x10000", "0x20000", "0x40000"


def logins(shim) -> int:
    return shim.calls().count("C_Login")


def test_a_wrong_pin_is_tried_once(shim, opened) -> None:
    shim.softhsm.pin_file.write_text(WRONG)
    store = opened(shim.softhsm.url())
    for _ in range(5):
        with pytest.raises(KeyStoreUnavailable):
            store.versions()
    assert logins(shim) == 1


def test_a_wrong_pin_is_not_tried_for_each_version_at_start(shim, opened) -> None:
    opened(shim.softhsm.url()).seal(secret(1))
    shim.calls()
    shim.softhsm.pin_file.write_text(WRONG)
    store = opened(shim.softhsm.url())
    for version in (1, 2, 3):
        with pytest.raises(KeyStoreUnavailable):
            store.unseal(version)
    assert logins(shim) == 1


def test_a_corrected_pin_file_is_taken_without_a_restart(shim, opened, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PKCS11_SHIM_WRONG_PINS", str(tmp_path / "wrong-pins"))
    shim.softhsm.pin_file.write_text(WRONG)
    store = opened(shim.softhsm.url())
    with pytest.raises(KeyStoreUnavailable, match="CKR_PIN_INCORRECT"):
        store.versions()
    shim.softhsm.pin_file.write_text(PIN)
    store.seal(secret(1))
    assert store.unseal(1) == secret(1)


def test_twenty_starts_with_a_wrong_pin_lock_no_token(shim, opened, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PKCS11_SHIM_WRONG_PINS", str(tmp_path / "wrong-pins"))
    shim.softhsm.pin_file.write_text(WRONG)
    for _ in range(20):
        with pytest.raises(KeyStoreUnavailable):
            opened(shim.softhsm.url()).versions()
    assert logins(shim) == 1


@pytest.mark.parametrize("flag", [COUNT_LOW, FINAL_TRY, LOCKED])
def test_no_pin_is_sent_to_a_token_that_counts_wrong_ones(shim, opened, flag: str) -> None:
    shim.fail(f"C_GetTokenInfo token-flags={flag}")
    with pytest.raises(KeyStoreUnavailable) as refused:
        opened(shim.softhsm.url()).versions()
    assert "PIN" in str(refused.value)
    assert refused.value.hint
    assert logins(shim) == 0


def test_a_pin_that_has_logged_in_before_does_so_again_after_somebody_elses_wrong_one(shim, opened, told) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    shim.fail(f"C_GetTokenInfo token-flags={COUNT_LOW}", "C_DecryptInit times=1 crash")
    told.on_first = lambda: shim.fail(f"C_GetTokenInfo token-flags={COUNT_LOW}")
    assert store.unseal(1) == secret(1)


def test_not_even_a_good_pin_is_risked_on_the_last_try(shim, opened, told) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    shim.fail(f"C_GetTokenInfo token-flags={FINAL_TRY}", "C_DecryptInit times=1 crash")
    shim.calls()
    with pytest.raises(KeyStoreUnavailable, match="last try"):
        store.unseal(1)
    assert logins(shim) == 0


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ("CKR_PIN_LOCKED", "security officer"),
        ("CKR_PIN_EXPIRED", "new user PIN"),
        ("CKR_USER_PIN_NOT_INITIALIZED", "C_InitPIN"),
        ("CKR_PIN_LEN_RANGE", "check the PIN"),
    ],
)
def test_what_a_person_must_mend_is_said_and_not_repeated(shim, opened, answer: str, hint: str) -> None:
    shim.fail(f"C_Login {answer}")
    with pytest.raises(KeyStoreUnavailable, match=answer) as refused:
        opened(shim.softhsm.url()).versions()
    assert hint in refused.value.hint
    assert logins(shim) == 1


def test_already_logged_in_is_as_good_as_logged_in(shim, opened) -> None:
    shim.fail("C_Login times=1 CKR_USER_ALREADY_LOGGED_IN")
    assert list(opened(shim.softhsm.url()).versions()) == []


def test_without_pin_source_the_pin_is_asked_for_once(softhsm, opened) -> None:
    asked: list[str] = []

    def ask(what: str) -> SecretText:
        asked.append(what)
        return SecretText(PIN)

    store = opened(softhsm.url().partition("&")[0], ask)
    store.seal(secret(1))
    store.close()
    assert store.unseal(1) == secret(1)
    assert asked == ["pin"]


def test_a_pin_that_was_asked_for_and_refused_is_not_sent_again(shim, opened) -> None:
    store = opened(shim.softhsm.url().partition("&")[0], lambda _what: SecretText(WRONG))
    for _ in range(3):
        with pytest.raises(KeyStoreUnavailable):
            store.versions()
    assert logins(shim) == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b"\n"), "empty"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "UTF-8"),
    ],
)
def test_a_pin_file_that_is_unusable_is_named(softhsm, opened, spoil, said: str) -> None:
    spoil(softhsm.pin_file)
    with pytest.raises(KeyStoreUnavailable, match=said) as refused:
        opened(softhsm.url()).versions()
    assert str(softhsm.pin_file) in str(refused.value)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_pin_is_in_no_argument_no_environment_no_log_and_no_error(softhsm, opened, told, monkeypatch) -> None:
    monkeypatch.setenv("KEYSVC_KEY_STORE_PASSPHRASE", PIN)
    monkeypatch.setenv("TOKEN_PIN", PIN)
    store = opened(softhsm.url().replace(f"file:{softhsm.pin_file}", "env:TOKEN_PIN"))
    store.seal(secret(1))
    pid = store._sealer._process._running.process.pid
    assert PIN not in command_line(pid)
    with contextlib.suppress(PermissionError):  # to anyone but root it is closed
        assert PIN not in Path(f"/proc/{pid}/environ").read_text("utf-8")
    softhsm.tokens.rename(softhsm.directory / "away")
    with pytest.raises(KeyStoreError) as refused:
        store.unseal(1)
    for text in (*told.lines, *all_told(refused.value), repr(store), repr(store.info()), repr(vars(store))):
        assert PIN not in text


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text("utf-8")
