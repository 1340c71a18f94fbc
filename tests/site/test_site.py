"""The site of the documentation, as `tox -e docs` built it: it is whole, and its search works without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urljoin

import pytest

SITE = Path(os.environ.get("KEYSVC_SITE") or pytest.skip("the site is not built: make docs", allow_module_level=True))
ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
PAGES = sorted(SITE.rglob("*.html"))
OF_PROJECT = set(SITE.glob("project/**/*.html"))  # files outside docs/ that a page shows
TEXTS = {page: page.read_text("utf-8") for page in PAGES}
# What a browser loads by itself; a link that somebody follows is not among it.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=["']?([^"'\s>]+)|<link\b[^>]*?\bhref=["']?([^"'\s>]+)"""
)
OF_STYLES = re.compile(r"""(?:@import\s+|url\()["']?(\w+:)?(//[^"')]+)""")


def links(page: Path) -> set[Path]:
    """The pages that a page links to."""
    here = page.as_uri()
    targets = (urljoin(here, link).partition("#")[0] for link in re.findall(r'<a\b[^>]*?href="([^"]+)"', TEXTS[page]))
    return {Path(unquote(target.removeprefix("file://"))) for target in targets if target.startswith("file:")}


def test_every_page_of_the_documentation_is_in_the_site() -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    missing = {
        page for page in pages if not any((SITE / name).is_file() for name in (page, page.with_name("index.html")))
    }
    assert missing == set()


def test_every_page_is_two_clicks_from_the_first() -> None:
    first = links(SITE / "index.html")
    second = {target for page in first & TEXTS.keys() for target in links(page)}
    assert {str(page.relative_to(SITE)) for page in TEXTS.keys() - first - second - OF_PROJECT} == {"404.html"}


def test_each_page_says_for_which_release_it_is() -> None:
    release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert [page.name for page, text in TEXTS.items() if f"keysvc {release}" not in text] == []


def test_no_page_loads_anything_from_another_host() -> None:
    loaded = {
        (page.name, url) for page, text in TEXTS.items() for found in LOADED.findall(text) for url in found if url
    }
    assert loaded
    assert {(page, url) for page, url in loaded if re.match(r"(\w+:)?//", url)} == set()
    for style in SITE.rglob("*.css"):
        assert OF_STYLES.findall(style.read_text("utf-8")) == [], style.name


def test_no_list_of_a_page_has_become_a_paragraph() -> None:
    assert [page.name for page, text in TEXTS.items() if re.search(r"<p>[^<]*(?:<(?!/p)[^<]*)*\n- ", text)] == []


@pytest.mark.parametrize(("link", "status"), [("index.md#there", 0), ("index.md#nowhere", 1), ("nowhere.md", 1)])
def test_a_link_that_leads_nowhere_fails(tmp_path: Path, link: str, status: int) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text(f"# Page\n\n[link]({link})\n\n## There\n", "utf-8")
    (tmp_path / "mkdocs.yml").write_text((ROOT / "docs/site/mkdocs.yml").read_text("utf-8"), "utf-8")
    command = [sys.executable, "-m", "mkdocs", "build"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == status


def test_the_search_works_without_a_server_and_without_another_host() -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto((SITE / "index.html").as_uri())
        page.keyboard.press("Control+k")
        page.keyboard.type("keysvc secret pause")
        page.get_by_text("Watch, pause, limit").first.wait_for()
        browser.close()
    assert requests
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
