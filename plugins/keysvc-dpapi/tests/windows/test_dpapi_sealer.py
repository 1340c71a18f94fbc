"""What DPAPI seals opens here, under its own context, and nowhere else."""

from __future__ import annotations

import ctypes

import pytest
from keysvc_dpapi import dpapi, win32
from keysvc_dpapi.dpapi import DpapiSealer, Scope

from keysvc.plugin import KeyStoreUnavailable, SealBroken, SecretBytes
from keysvc.testing.conformance import assert_no_leak, told

WINE = hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
SECRET = SecretBytes(bytes(range(32)))

each_scope = pytest.mark.parametrize("scope", list(Scope))


@each_scope
def test_what_was_sealed_opens_and_is_never_the_same_twice(scope: Scope) -> None:
    sealer = DpapiSealer("registry://x", scope)
    first, second = sealer.seal(SECRET, b"context"), sealer.seal(SECRET, b"context")
    assert first != second
    assert sealer.unseal(first, b"context") == sealer.unseal(second, b"context") == SECRET
    assert_no_leak(SECRET.reveal(), first.hex(), first)


@each_scope
@pytest.mark.parametrize("context", [b"", b"contexT", b"context ", b"context\0", b"a" * 5000])
def test_under_another_context_it_does_not_open(scope: Scope, context: bytes) -> None:
    sealer = DpapiSealer("registry://x", scope)
    with pytest.raises(SealBroken) as refused:
        sealer.unseal(sealer.seal(SECRET, b"context"), context)
    assert_no_leak(SECRET.reveal(), *told(refused.value))


@each_scope
def test_a_changed_byte_never_opens_to_another_secret(scope: Scope) -> None:
    """Windows refuses every change. Wine does not authenticate the frame around its ciphertext, only what is in it."""
    sealer = DpapiSealer("registry://x", scope)
    whole = sealer.seal(SECRET, b"context")
    opened = 0
    for position in range(len(whole)):
        changed = whole[:position] + bytes([whole[position] ^ 0x40]) + whole[position + 1 :]
        try:
            assert sealer.unseal(changed, b"context") == SECRET
            opened += 1
        except (SealBroken, KeyStoreUnavailable):
            pass
    assert opened == 0 or WINE
    assert opened < len(whole) / 2


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x01\0\0\0" * 50, bytes(300)])
def test_what_is_no_blob_does_not_open(blob: bytes) -> None:
    with pytest.raises(SealBroken):
        DpapiSealer("registry://x", Scope.MACHINE).unseal(blob, b"context")


@pytest.mark.skipif(not WINE, reason="on Windows another user cannot be played without the user's password")
def test_a_blob_of_another_user_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    sealer = DpapiSealer("registry://x", Scope.USER)
    sealed = sealer.seal(SECRET, b"context")
    monkeypatch.setenv("WINEUSERNAME", "somebody")  # what Wine's GetUserName answers, and so its DPAPI
    with pytest.raises(SealBroken, match="another account"):
        sealer.unseal(sealed, b"context")


@pytest.mark.parametrize("error", sorted(dpapi.UNAVAILABLE))
def test_a_windows_that_cannot_answer_now_is_no_broken_seal(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refuse(*_arguments: object) -> bool:
        ctypes.set_last_error(error)
        return False

    monkeypatch.setattr(win32, "CryptUnprotectData", refuse)
    monkeypatch.setattr(win32, "CryptProtectData", refuse)
    sealer = DpapiSealer("registry://x", Scope.USER)
    with pytest.raises(KeyStoreUnavailable, match=f"0x{error:08X}") as refused:
        sealer.unseal(b"sealed", b"context")
    assert "profile" in refused.value.hint
    with pytest.raises(KeyStoreUnavailable):
        sealer.seal(SECRET, b"context")


def test_it_asks_for_no_window_for_an_audit_entry_and_for_the_machines_key(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = win32.CryptProtectData
    monkeypatch.setattr(win32, "CryptProtectData", lambda *given: asked.append((given[1], given[5])) or real(*given))
    DpapiSealer("registry://x", Scope.MACHINE).seal(SECRET, b"context")
    DpapiSealer("registry://x", Scope.USER).seal(SECRET, b"context")
    assert asked == [("keysvc master secret", 0x1 | 0x10 | 0x4), ("keysvc master secret", 0x1 | 0x10)]
