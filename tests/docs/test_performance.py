"""docs/performance.md tells of every job that `make bench` runs, and of no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from benchmark_jobs import JOBS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/performance.md").read_text("utf-8")


def test_every_job_is_documented_and_no_other() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == JOBS


def test_every_job_is_a_module_that_says_what_it_measures() -> None:
    for job in JOBS:
        module = ast.parse((ROOT / f"benchmarks/{job}.py").read_text("utf-8"))
        assert len(ast.get_docstring(module) or "") > 80, job


def test_what_the_page_names_is_there() -> None:
    assert "make bench" in PAGE
    for target in ("bench", "bench-quick"):
        assert f"\n{target}: " in (ROOT / "Makefile").read_text("utf-8")
    assert (ROOT / "docs/growth.svg").read_text("utf-8").startswith("<svg ")
