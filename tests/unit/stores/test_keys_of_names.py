"""The column of keys is filled when a store of release 0.1 is upgraded."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from schemas import AtStep1

from keysvc.model import names
from keysvc.stores.migrations import MIGRATIONS, step_2
from keysvc.stores.sqlite import SQLiteMappingStore

USERS = ("NORDWIND\\Anna", "wei\u00df", "mu\u0308ller")


def test_an_upgrade_gives_every_name_its_key(tmp_path: Path) -> None:
    class Before(AtStep1):
        migrations = MIGRATIONS[:1]

    path = tmp_path / "mappings.db"
    before = Before(path)
    before.prepare()
    before.close()
    many = [*USERS, *(f"User-{n}" for n in range(2 * step_2.PAGE))]
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(
            "INSERT INTO applications VALUES ('SAP', 'x', 'individual', '[]', '{}', '', '', '[]', '[]', NULL, 1)"
        )
        raw.executemany("INSERT INTO mappings VALUES ('SAP', ?, 'X', 1, 1)", [(user,) for user in many])
    raw.close()
    store = SQLiteMappingStore(path)
    store.prepare()
    assert list(store.spellings({"sap"})) == ["SAP"]
    for user in (*USERS, "User-1999"):
        assert list(store.spellings({names.key(user)}, "SAP")) == [user]
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        assert raw.execute("SELECT count(*) FROM mappings WHERE user_key = ''").fetchone() == (0,)
    raw.close()
    store.close()
