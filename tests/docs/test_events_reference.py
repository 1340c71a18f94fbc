"""docs/reference/events.md is the catalogue."""

from __future__ import annotations

from pathlib import Path

from keysvc.master.events import EventKind

PAGE = Path(__file__).parents[2] / "docs/reference/events.md"


def test_the_table_is_the_catalogue() -> None:
    table = [f"| `{kind}` | {kind.severity} | {kind.meaning} |" for kind in EventKind]
    assert [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")] == table
