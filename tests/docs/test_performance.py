"""docs/performance.md tells of every job that `make bench` runs, and of no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/performance.md").read_text("utf-8")


def jobs() -> tuple[str, ...]:
    """Of the checkout: benchmarks are not installed."""
    tree = ast.parse((ROOT / "benchmarks/__main__.py").read_text("utf-8"))
    (value,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and "JOBS" in ast.unparse(node))
    found: tuple[str, ...] = ast.literal_eval(value)
    return found


def test_every_job_is_documented_and_no_other() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == jobs()


def test_every_job_is_a_module_that_says_what_it_measures() -> None:
    for job in jobs():
        module = ast.parse((ROOT / f"benchmarks/{job}.py").read_text("utf-8"))
        assert len(ast.get_docstring(module) or "") > 80, job


def test_what_the_page_names_is_there() -> None:
    assert "make bench" in PAGE
    for target in ("bench", "bench-quick"):
        assert f"\n{target}: " in (ROOT / "Makefile").read_text("utf-8")
    assert (ROOT / "docs/growth.svg").read_text("utf-8").startswith("<svg ")
