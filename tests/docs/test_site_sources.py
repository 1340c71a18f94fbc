"""What the site of the documentation is made of: `make docs` needs nothing that a release of the sources lacks."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

ROOT = Path(__file__).parents[2]
GATHER = runpy.run_path(str(ROOT / "docs/site/gather.py"))


def test_the_sources_of_every_page_are_in_the_sdist() -> None:
    released = {Path(file.path).resolve() for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    needed = {*GATHER["pages"](), *(file for file in ROOT.glob("docs/site/*") if file.is_file())}
    assert sorted(str(file.relative_to(ROOT)) for file in needed - released) == []


def test_links_out_of_the_documentation_lead_to_pages_of_the_site() -> None:
    page = ROOT / "docs/how-to/operate.md"
    text = "[a](../../README.md#plugins) [b](../../keysvc/errors.py) [c](alerts.md) [d](https://example.com)"
    assert GATHER["rendered"](page, text) == (
        "[a](../project/README.md#plugins) [b](../project/keysvc/errors.py.md) [c](../how-to/alerts.md) [d](https://example.com)"
    )


def test_the_navigation_is_the_index() -> None:
    index = "# Title\n\n## Part\n\n- [One](formats.md): a page\n\n### Section\n\n- [Two](../README.md): another\n"
    assert GATHER["navigation"](index) == [
        {"Start": "index.md"},
        {"Part": [{"One": "formats.md"}, {"Section": [{"Two": "project/README.md"}]}]},
    ]


def test_a_page_that_the_index_does_not_lead_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.md").write_text("# Index\n", "utf-8")
    (tmp_path / "lost.md").write_text("# Lost\n", "utf-8")
    known = GATHER["pages"].__globals__
    for name, value in (("ROOT", tmp_path), ("DOCS", tmp_path), ("INDEX", tmp_path / "index.md")):
        monkeypatch.setitem(known, name, value)
    with pytest.raises(LookupError, match=r"lost\.md"):
        GATHER["pages"]()
