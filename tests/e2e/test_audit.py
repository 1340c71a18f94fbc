"""The audit as an administrator reads and proves it."""

from __future__ import annotations

import contextlib
import json
import sqlite3

from sites import Site


def edit(site: Site, statement: str) -> None:
    [database] = site.machine.directory.rglob("*.db")
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(statement).rowcount


def test_the_audit_is_exported_verified_found_broken_and_accepted(site: Site) -> None:
    site.init()
    site("app", "create", "SAP", "--enable")
    assert "negative 2" in site("audit", "level", "--negative", "2").out
    assert "BROKEN" not in site("audit", "verify").out
    exported = site("audit", "export").out
    entries = [json.loads(line) for line in exported.splitlines() if '"end"' not in line]
    assert {"application.created", "audit.level-set"} <= {entry["action"] for entry in entries}
    assert {"trail", "sequence", "at", "actor", "origin", "result", "link"} <= set(entries[0])
    kept = site.folder / "audit.jsonl"
    kept.write_text(exported, "utf-8")
    site("app", "delete", "SAP", "--yes")
    site("audit", "verify", "--against", kept)
    assert [
        e["subject"] for e in json.loads(site("audit", "list", "--trail", "deleted-applications", "--json").out)
    ] == ["SAP"]

    edit(site, "UPDATE audit SET actor = 'nobody' WHERE trail = 'changes' AND sequence = 2")
    broken = site("audit", "verify", ok=False)
    assert "entry 2 was changed" in broken.out
    assert "error: audit-broken: " in broken.err
    assert json.loads(site("audit", "verify", "--json", ok=None).out)[0]["problems"]
    site("audit", "accept", "changes", "--yes")
    assert "BROKEN" not in site("audit", "verify").out
    assert "audit.accepted" in site("audit", "list").out
    edit(site, "DELETE FROM audit WHERE trail = 'changes' AND sequence = 4")
    assert "entry 4 is missing" in site("audit", "verify", ok=False).out
    site("audit", "list", "--after", "3", ok=False)
    site("audit", "verify", "--against", site.machine.config, ok=False)
