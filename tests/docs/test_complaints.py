"""Each complaint that we say we answer is answered by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/complaints.md").read_text("utf-8")
PLACES = ("keysvc/testing", "tests", "plugins/*/tests", "hsm/tests")


def test_every_test_that_is_named_exists() -> None:
    modules = [path for place in PLACES for root in ROOT.glob(place) for path in root.rglob("*.py")]
    defined = {name for path in modules for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))}
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named
    assert named - defined == set()


def test_every_row_names_a_test() -> None:
    rows = re.findall(r"^\| \d+ \|.*$", PAGE, re.MULTILINE)
    assert [row for row in rows if "`test_" not in row] == []
