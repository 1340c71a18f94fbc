"""Each job of benchmarks/ runs, and every figure that it found is in the table. What it costs is not looked at."""

from __future__ import annotations

import re

import pytest
from benchmark_jobs import JOBS, run


@pytest.mark.parametrize("job", JOBS)
def test_a_job_runs_and_what_it_found_is_in_the_table(job: str) -> None:
    done = run("--tiny", job)
    assert done.returncode == 0, done.stderr
    if missing := re.findall(r"^  not measured: (.*)", done.stderr, re.MULTILINE):
        pytest.skip(f"{job} did NOT run: {missing[0]}")
    told = re.findall(r"^  (\S.*): \S+ .*; (?:told|pass|short)$", done.stderr, re.MULTILINE)
    head, _, *rows = (line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| "))
    assert head[:2] == ["| job", "figure"]
    assert told == [row[0].removeprefix("| ") for row in rows] != []
