"""A page that nobody can reach, or a link that leads nowhere, fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")])


def targets(page: Path) -> set[Path]:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    return {(page.parent / link).resolve() for link in links if not re.match(r"\w+:", link)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    assert sorted(str(target.relative_to(ROOT)) for target in targets(page) if not target.exists()) == []


def test_the_index_names_every_page() -> None:
    pages = {path.resolve() for path in (ROOT / "docs").rglob("*.md")} - {(ROOT / "docs/index.md").resolve()}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - targets(ROOT / "docs/index.md")) == []
