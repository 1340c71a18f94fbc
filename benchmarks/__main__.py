"""Runs the jobs one after the other, prints each figure when it is known and the table at the end. The exit status is 0
however slow keysvc is: what is short is told, not hidden behind a failure."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from dataclasses import asdict

from benchmarks.measuring import Figure, Rates, Scale, Unavailable
from keysvc.errors import UnknownScheme
from keysvc.plugin.logs import log_nothing

JOBS = (
    "reencryption",
    "reencryption_postgresql",
    "lookup",
    "agent",
    "poll",
    "connections",
    "many_servers",
    "long_poll",
    "unseal",
    "commands",
    "memory",
    "growth",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer rounds: under two minutes")
    parser.add_argument("--tiny", action="store_true", help="next to nothing: whether a job runs, not what it costs")
    parser.add_argument("--json", action="store_true", help="every round of every contender, on stdout")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"one of: {', '.join(JOBS)}; all of them by default")
    asked = parser.parse_args()
    unknown = set(asked.jobs) - set(JOBS)
    if unknown:
        parser.error(f"no such job: {', '.join(sorted(unknown))}")
    log_nothing()
    scale = Scale(asked.quick or asked.tiny, asked.tiny)
    begin, found = time.monotonic(), []
    for job in asked.jobs or JOBS:
        print(f"\n{job}", file=sys.stderr, flush=True)
        try:
            for figure in importlib.import_module(f"benchmarks.{job}").figures(scale):
                found.append(figure)
                print(*explained(figure), sep="\n", file=sys.stderr, flush=True)
        except Unavailable as missing:
            print(f"  not measured: {missing}", file=sys.stderr, flush=True)
        except UnknownScheme as missing:
            print(f"  not measured: {missing}; {missing.hint}", file=sys.stderr, flush=True)
    seconds = time.monotonic() - begin
    if asked.json:
        print(json.dumps({"machine": machine(), "seconds": seconds, "figures": [as_json(f) for f in found]}, indent=2))
    else:
        print("\n" + "\n".join(table(found)))
        print(f"\n{machine()}; {seconds:.0f} seconds")


def explained(figure: Figure) -> list[str]:
    """The figure, and the rounds that it comes of."""
    best = f", best of each {number(figure.best)}" if figure.best is not None else ""
    lines = [f"  {figure.job}: {number(figure.value)} {figure.unit}{best}; {verdict(figure)}"]
    lines += [f"      {shown(rates)} {figure.work}" for rates in figure.contenders]
    return lines + ([f"      {figure.note}"] if figure.note else [])


def shown(rates: Rates) -> str:
    return f"{rates.name}: {number(rates.median)} ± {rates.spread:.0%} over {len(rates.rounds)} rounds"


def table(figures: list[Figure]) -> list[str]:
    """In Markdown, as docs/performance.md holds it."""
    rows = [
        (
            figure.job,
            f"{number(figure.value)} {figure.unit}",
            goal(figure),
            verdict(figure),
            "; ".join(f"{r.name} {number(r.median)} ± {r.spread:.0%}" for r in figure.contenders)
            + (f" {figure.work}" if figure.contenders else figure.note),
        )
        for figure in figures
    ]
    head = ("job", "figure", "goal", "", "medians")
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def goal(figure: Figure) -> str:
    return "" if figure.goal is None else f"{'≤' if figure.at_most else '≥'} {number(figure.goal)}"


def verdict(figure: Figure) -> str:
    return {None: "told", True: "pass", False: "short"}[figure.passed]


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_json(figure: Figure) -> dict[str, object]:
    contenders = [{**asdict(r), "median": r.median, "spread": r.spread} for r in figure.contenders]
    return {**asdict(figure), "passed": figure.passed, "contenders": contenders}


def machine() -> str:
    return f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
