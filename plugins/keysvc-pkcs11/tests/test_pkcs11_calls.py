"""What one unsealing asks of a token: on an HSM in a network every call is a journey."""

from __future__ import annotations

import pytest

from keysvc.errors import KeyStoreUnavailable
from keysvc.testing.key_store import secret


def test_the_key_is_looked_for_and_checked_once(shim, opened) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    shim.calls()
    store.unseal(1)
    calls = shim.calls()
    assert calls.count("C_FindObjectsInit") == 1, "of the sealed version"
    assert len(calls) == 11


@pytest.mark.parametrize(("label", "hidden"), [("keysvc", ""), ("keysvc mac", "0x1087,0x210a")])
def test_a_key_that_is_lost_later_is_missed_all_the_same(shim, opened, monkeypatch, label: str, hidden: str) -> None:
    monkeypatch.setenv("PKCS11_SHIM_HIDE_MECHANISMS", hidden)
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    assert store.unseal(1) == secret(1)
    shim.softhsm.run(f"session.get_key(label={label!r}, object_class=ObjectClass.SECRET_KEY).destroy(); answer = None")
    with pytest.raises(KeyStoreUnavailable, match=f"'{label}' .*is missing from the token"):
        store.unseal(1)
