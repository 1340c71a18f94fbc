"""`python -m fuzzing --minutes 10 [TARGET …]`: each target for so long; what fails is kept in the corpus."""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import tempfile
from pathlib import Path

from fuzzing.running import fuzz
from fuzzing.target import CORPUS
from fuzzing.targets import TARGETS


def main() -> int:
    """The number of targets that failed."""
    parser = argparse.ArgumentParser(prog="fuzzing", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET", help=", ".join(TARGETS))
    given = parser.parse_args()
    failed = 0
    print(f"seed {given.seed}", flush=True)
    for name in given.targets or TARGETS:
        target = TARGETS[name]
        if missing := [module for module in target.needs if importlib.util.find_spec(module) is None]:
            print(f"{name:24} skipped: {', '.join(missing)} is not installed", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            report = fuzz(target, Path(folder), given.minutes * 60, given.seed)
        counts = f"{report.executions:10,} inputs {report.paths:6,} paths, slowest {report.slowest:.3f} s"
        print(f"{name:24} {counts}", flush=True)
        if report.failure is not None:
            failed += 1
            kept = CORPUS / name / report.failure.name
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(report.failure.content)
            print(f"{'':24} FAILED: {report.failure.what}\n{'':24} kept in {kept}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
