"""What one unsealing asks of a token: on an HSM in a network every call is a journey."""

from __future__ import annotations

import shutil
import subprocess
from collections import abc
from pathlib import Path

import pytest

from keysvc.plugin import KeyStoreUnavailable
from keysvc.testing.key_store import secret

FLOOR = Path(__file__).parents[3] / "benchmarks/unseal.c"
HEADER = Path("/usr/include/p11-kit-1")


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


@pytest.mark.skipif(
    not (FLOOR.exists() and HEADER.exists() and shutil.which("cc")),
    reason="needs benchmarks/, a C compiler and a header: apt-get install gcc libp11-kit-dev",
)
def test_the_floor_of_the_benchmark_makes_the_same_calls(shim, opened, tmp_path: Path) -> None:
    floor = tmp_path / "unseal"
    subprocess.run(["cc", f"-I{HEADER}", "-o", floor, FLOOR, "-ldl"], check=True)
    token = shim.softhsm
    store = opened(token.url())
    store.seal(secret(1))
    data = "session.get_objects({Attribute.CLASS: ObjectClass.DATA})"
    (entry,) = token.run(f"answer = [found[Attribute.LABEL] for found in {data}]")

    def calls(times: int) -> abc.Sequence[str]:
        shim.calls()
        pin = token.pin_file.read_text("ascii").strip()
        subprocess.run(
            [floor, token.module, token.label, pin, "keysvc", entry, str(times)], check=True, stdout=subprocess.DEVNULL
        )
        return shim.calls()

    shim.calls()
    store.unseal(1)
    ours = shim.calls()
    assert calls(2) == [*calls(0), *ours, *ours]
