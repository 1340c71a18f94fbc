"""A sentence of the documentation has at most 25 words. Where precision needs more, the page is named here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LONGER = {"docs/formats.md", "docs/threat-model.md"}
MOST_WORDS = 25
CODE = re.compile(r"^ *(```|~~~).*?^ *\1|^    .*?$|`[^`]+`", re.DOTALL | re.MULTILINE)
OLD_WORDS = re.compile(
    r"\b(go(es|ing)? on|lets? in|(is|are) (told|gone)|tells of|ha(s|ve) ended|oftener|mend(s|ed)?|till)\b",
    re.IGNORECASE,
)
LINK = re.compile(r"\]\([^)]*\)")
BREAK = re.compile(r"\n\s*\n|\n *(?:[-*]|\d+\.) |\n#+ |\n? *\|")  # of paragraphs, items, headings and cells
END = re.compile(r"(?<=[.!?])[*_\")]*\s+(?=keysvc|\[|\W*[A-Z0-9`])")


def sentences(markdown: str) -> list[str]:
    """Return the sentences of a page. Code in a line counts as one word, a block of code as none."""
    text = CODE.sub(lambda code: " CODE " if code[0][0] == "`" and code[1] is None else "\n\n", markdown)
    parts = BREAK.split(LINK.sub("]", text))
    return [" ".join(sentence.split()) for part in parts for sentence in END.split(part)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_is_too_long(page: Path) -> None:
    if str(page.relative_to(ROOT)) not in LONGER:
        counted = {said: len(said.split()) for said in sentences(page.read_text("utf-8"))}
        assert {said: words for said, words in counted.items() if words > MOST_WORDS} == {}


GUIDES = [page for page in PAGES if page.name not in {"README.md", "index.md"} and "decisions" not in page.parts]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_begins_with_who_needs_it(page: Path) -> None:
    heading, first = page.read_text("utf-8").split("\n\n")[:2]
    assert heading.startswith("# ")
    assert first.startswith("For ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_plain_words_are_used(page: Path) -> None:
    text = re.sub(r"^\|.*$", "", page.read_text("utf-8"), flags=re.MULTILINE)  # some tables are made from the code
    assert [said for said in sentences(text) if OLD_WORDS.search(said)] == []


@pytest.mark.parametrize(
    ("markdown", "count"),
    [
        ("One two. Three `four five` six!", [2, 3]),
        ("- one two\n- three\n\nFour [five](six.md#seven) 0.2 eight", [3, 1, 4]),
        ("One:\n\n```\nnot counted\n```\n\n| two | three four |\n", [1, 1, 2]),
        (" ".join(["word"] * 26), [26]),
    ],
)
def test_words_are_counted(markdown: str, count: list[int]) -> None:
    assert [len(said.split()) for said in sentences(markdown) if said.strip("-# ")] == count
