"""docs/reference/metrics.md is the catalogue. KEYSVC_WRITE_DOCS=1 writes the table anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

from keysvc.operating.metrics.catalogue import METRICS

PAGE = Path(__file__).parents[2] / "docs/reference/metrics.md"
HEAD = "| metric | type | labels | of | what it says |\n| --- | --- | --- | --- | --- |\n"


def table() -> str:
    rows = [
        f"| `{metric.exposed}` | {metric.kind.value} | {', '.join(f'`{label}`' for label in metric.labels)} "
        f"| {', '.join(metric.of)} | {metric.text} |"
        for metric in METRICS
    ]
    return HEAD + "\n".join(rows) + "\n"


def test_the_table_is_the_catalogue() -> None:
    before, head, rest = PAGE.read_text("utf-8").partition(HEAD)
    assert head
    after = rest[rest.index("\n\n") + 1 :]
    written = before + table() + after
    if os.environ.get("KEYSVC_WRITE_DOCS"):
        PAGE.write_text(written, "utf-8")
    assert PAGE.read_text("utf-8") == written


def test_every_metric_that_the_documentation_names_is_in_the_catalogue() -> None:
    known = {metric.exposed for metric in METRICS} | {
        f"{metric.name}_{part}" for metric in METRICS for part in ("bucket", "sum", "count")
    }
    for page in PAGE.parents[1].rglob("*.md"):
        named = set(
            re.findall(
                r"\bkeysvc_[a-z_]+(?:_total|_seconds|_rows|_up|_held|_ready|_current)\b", page.read_text("utf-8")
            )
        )
        assert named - known == set(), page
