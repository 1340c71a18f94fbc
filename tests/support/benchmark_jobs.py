"""The benchmarks of the checkout, which are not installed, on the keysvc that is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = """
import runpy, sys
sys.path.append(sys.argv.pop(1))  # behind the keysvc that is installed
runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
"""


def _jobs() -> tuple[str, ...]:
    tree = ast.parse((ROOT / "benchmarks/__main__.py").read_text("utf-8"))
    (value,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and "JOBS" in ast.unparse(node))
    found: tuple[str, ...] = ast.literal_eval(value)
    return found


JOBS = _jobs()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m benchmarks`."""
    command = [sys.executable, "-c", RUN, str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
