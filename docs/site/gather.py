"""Usage: gather.py DIRECTORY. Gather the site: its pages in DIRECTORY/pages, its settings in DIRECTORY/mkdocs.yml.

The navigation is docs/index.md. Links to files outside docs/ lead to pages of the site, too.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
LINK = re.compile(r"(?<=\]\()([^)#\s]+)")
ENTRY = re.compile(r"\[([^]]+)\]\(([^)#\s]+)\)")


def place(file: Path) -> str:
    """Return the path in the site of a file of the project. Source code outside docs/ becomes a page."""
    if file.is_relative_to(DOCS):
        return file.relative_to(DOCS).as_posix()
    return f"project/{file.relative_to(ROOT).as_posix()}" + ("" if file.suffix == ".md" else ".md")


def linked(page: Path, text: str) -> dict[str, Path]:
    """Return the files of the project that the links of a page lead to."""
    targets = {link: (page.parent / link).resolve() for link in LINK.findall(text) if ":" not in link}
    return {link: file for link, file in targets.items() if file.is_file() and file.is_relative_to(ROOT)}


def pages() -> dict[Path, str]:
    """Return each page that docs/index.md leads to, with its text in Markdown. Raise LookupError when it misses one."""
    found: dict[Path, str] = {}
    todo = [INDEX]
    while todo:
        page = todo.pop()
        if page in found or (page.is_relative_to(DOCS) and page.suffix != ".md"):
            continue
        text = page.read_text("utf-8")
        found[page] = text if page.suffix == ".md" else f"# {page.name}\n\n~~~~ {page.suffix[1:]}\n{text}\n~~~~\n"
        todo += linked(page, found[page]).values()
    if missed := set(DOCS.rglob("*.md")) - found.keys():
        raise LookupError(f"no page leads to {sorted(str(page.relative_to(ROOT)) for page in missed)}: docs/index.md")
    return found


def rendered(page: Path, text: str) -> str:
    """Return the text of a page with its links to other files of the project as the site has them."""
    files = linked(page, text)
    up = "../" * place(page).count("/")
    return LINK.sub(lambda link: up + place(files[link[1]]) if link[1] in files else link[1], text)


def navigation(index: str) -> list[dict[str, object]]:
    """Return the parts of the index, each with its pages, and with its sections and their pages."""

    def entries(text: str) -> list[dict[str, object]]:
        rows = [ENTRY.search(row) for row in text.splitlines() if row.startswith("- ")]
        return [{row[1]: place((DOCS / row[2]).resolve())} for row in rows if row]

    parts: list[dict[str, object]] = [{"Start": "index.md"}]
    for part in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        title, *sections = re.split(r"^### ", part, flags=re.MULTILINE)
        name, _, rows = title.partition("\n")
        below = [{section.partition("\n")[0]: entries(section)} for section in sections]
        parts.append({name: [*entries(rows), *below]})
    return parts


def gather(directory: Path) -> None:
    """Write the pages, the images and the settings of the site into a directory, which is emptied first."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(
        DOCS, directory / "pages", ignore=shutil.ignore_patterns("*.md", "*.py", "mkdocs.yml", "__pycache__")
    )
    for page, text in pages().items():
        file = directory / "pages" / place(page)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(rendered(page, text), "utf-8")
    settings = (DOCS / "site/mkdocs.yml").read_text("utf-8")
    nav = json.dumps(navigation(INDEX.read_text("utf-8")), indent=1)
    release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    (directory / "mkdocs.yml").write_text(f"{settings}copyright: keysvc {release}\nnav: {nav}\n", "utf-8")


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
