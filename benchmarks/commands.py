"""What it takes to start a command: processor seconds of the whole process, in turns.

- `keysvc --help` against the help of a typer application with one empty command, and `python -c pass`.
- `keysvc status --json`, answered by a running master secret server over mutual TLS, against the same two.
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

ROUNDS = 15
EMPTY = """\
import typer

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def nothing() -> None:
    "Do nothing."


app()
"""


def figures(scale: Scale) -> Figures:
    with tempfile.TemporaryDirectory() as name, Installation(Path(name)) as installed:
        installed.serve()
        empty = Path(name) / "empty.py"
        empty.write_text(EMPTY, "utf-8")
        keysvc = Path(sys.executable).with_name("keysvc")
        floors = {"empty typer app": seconds_of(sys.executable, empty, "--help")}
        floors["python -c pass"] = seconds_of(sys.executable, "-c", "pass")
        rounds = scale.of(ROUNDS, 5)
        ours = seconds_of(keysvc, "--help")
        race = Race("keysvc --help", "s", {"keysvc": ours, **floors}, rounds, lower_is_better=True).run()
        yield race.against("empty typer app", 1.3)
        yield race.against("python -c pass", None)
        ours = seconds_of(keysvc, "--config", installed.master.config, "status", "--json")
        race = Race("keysvc status --json", "s", {"keysvc": ours, **floors}, rounds, lower_is_better=True).run()
        yield race.against("empty typer app", 3)
        yield race.against("python -c pass", None)


def seconds_of(*command: object) -> Contender:
    """Processor seconds until it has ended."""
    arguments: abc.Sequence[str] = [str(part) for part in command]

    def once() -> float:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, arguments)
        return used.ru_utime + used.ru_stime

    once()
    return once
