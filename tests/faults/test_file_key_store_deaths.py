"""SIGKILL at every line of the file key store: what was sealed stays, what was being sealed is whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from keysvc.installation import assembly
from keysvc.plugin import sealed
from keysvc.stores import file, file_sealers
from keysvc.testing.deaths import die_at_every_line
from keysvc.testing.key_store import secret

MODULES = (sealed, file, file_sealers)


def open_store(folder: Path):
    return assembly.plugins().key_stores.open(f"file://{folder}/secret", lambda _: pytest.fail("asked"), "5" * 32)


def test_sealing_can_die_at_every_line(tmp_path: Path) -> None:
    open_store(tmp_path).seal(secret(1))
    whole = 0

    def look(_death: int) -> None:
        nonlocal whole
        store = open_store(tmp_path)
        assert store.unseal(1) == secret(1)
        if 2 in store.versions():
            assert store.unseal(2) == secret(2)
            store.destroy(2)
            whole += 1

    deaths = die_at_every_line(lambda: open_store(tmp_path).seal(secret(2)), look, MODULES)
    assert deaths > 50
    assert 0 < whole < deaths
    open_store(tmp_path).seal(secret(2))
    print(f"{deaths} deaths, {whole} of them after the rename")


def test_the_very_first_sealing_can_die_at_every_line(tmp_path: Path) -> None:
    def look(_death: int) -> None:
        store = open_store(tmp_path)
        assert [store.unseal(version) for version in store.versions()] in ([], [secret(1)])
        store.destroy(1)
        for left_over in [tmp_path / "secret.key", *tmp_path.glob(".*"), *tmp_path.glob("secret/.*")]:
            left_over.unlink(missing_ok=True)

    assert die_at_every_line(lambda: open_store(tmp_path).seal(secret(1)), look, MODULES) > 50


def test_destroying_can_die_at_every_line(tmp_path: Path) -> None:
    def begin() -> None:
        for version in (1, 2):
            open_store(tmp_path).seal(secret(version))

    def look(_death: int) -> None:
        assert open_store(tmp_path).unseal(2) == secret(2)
        begin()

    begin()
    assert die_at_every_line(lambda: open_store(tmp_path).destroy(1), look, MODULES) > 5
