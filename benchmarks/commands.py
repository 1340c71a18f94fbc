"""What it takes to start a command: processor seconds of the whole process, in turns.

- `keysvc --help` against the help of a typer application with one empty command, and `python -c pass`.
- `keysvc status --json`, answered by a running master secret server over mutual TLS, against that empty command run
  with an option `--json`, and `python -c pass`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import abc
from pathlib import Path

from benchmarks.installation import Installation
from benchmarks.measuring import Contender, Figures, Race, Scale

ROUNDS = 11
EMPTY = """\
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def nothing(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    "Do nothing."


app()
"""


def figures(scale: Scale) -> Figures:
    with tempfile.TemporaryDirectory() as name, Installation(Path(name)) as installed:
        installed.serve()
        empty = Path(name) / "empty.py"
        empty.write_text(EMPTY, "utf-8")
        keysvc = Path(sys.executable).with_name("keysvc")
        status = (keysvc, "--config", installed.master.config, "status", "--json")
        for job, ours, floor, goal in (
            ("keysvc --help", (keysvc, "--help"), "--help", 1.3),
            ("keysvc status --json", status, "--json", 3),
        ):
            contenders = {
                "keysvc": seconds_of(*ours),
                "empty typer app": seconds_of(sys.executable, empty, floor),
                "python -c pass": seconds_of(sys.executable, "-c", "pass"),
            }
            race = Race(job, "s", contenders, scale.of(ROUNDS, 5), lower_is_better=True).run()
            yield race.against("empty typer app", goal)
            yield race.against("python -c pass", None)


def seconds_of(*command: object) -> Contender:
    """Processor seconds until it has ended."""
    arguments: abc.Sequence[str] = [str(part) for part in command]
    # as users have it: what was imported once is compiled
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def once() -> float:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, arguments)
        return used.ru_utime + used.ru_stime

    once()
    return once
