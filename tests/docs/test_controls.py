"""The page for auditors claims nothing without a test that exists, or a page."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/controls.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\| (?:\d|[A-Z]{2}-).*$", PAGE, re.MULTILINE)
]
PLACES = ("tests", "plugins/*/tests", "hsm/tests")


def test_every_control_says_how_far_it_is_met_and_what_shows_it() -> None:
    assert len(ROWS) > 40
    assert [row[0] for row in ROWS if row[1] not in {"yes", "partly", "you", "no"} or not row[2]] == []
    shown = [row[0] for row in ROWS if "`test_" not in row[3] and "](" not in row[3]]
    assert shown == ["SC-12 key establishment and management"]  # the table above it


def test_every_test_that_is_named_exists() -> None:
    modules = [path for place in PLACES for root in ROOT.glob(place) for path in root.rglob("*.py")]
    defined = {name for path in modules for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))}
    assert set(re.findall(r"`(test_\w+)`", PAGE)) - defined == set()
