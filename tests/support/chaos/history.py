"""What a process saw, in a file of its own: one JSON object a line, written at once, so that a SIGKILL loses nothing.

Times are seconds of the monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class History:
    """Written by one process. Any thread may call it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._numbers = itertools.count(1)

    def note(self, kind: str, **detail: object) -> None:
        """Something that happened now."""
        line = json.dumps({"at": time.monotonic(), "kind": kind, **detail})
        os.write(self._file, f"{line}\n".encode())

    def call(self, action: str, key: str, value: str | None = None) -> int:
        """An operation begins."""
        number = next(self._numbers)
        self.note("call", number=number, action=action, key=key, value=value)
        return number

    def answer(
        self, number: int, *, value: str | None = None, version: int = 0, error: str = "", why: str = ""
    ) -> None:
        """It ended, well or with an error's code."""
        self.note("answer", number=number, value=value, version=version, error=error, why=why)


@dataclass
class Operation:
    """A write, or a look-up: `fresh` from the mapping store, or one that memory may answer. `end` is infinite for one
    that was never answered."""

    process: str
    action: str
    key: str
    value: str | None
    begin: float
    end: float = float("inf")
    version: int = 0
    error: str = ""
    why: str = ""
    cut_off: bool = False  # its process was killed before it was answered

    def __str__(self) -> str:
        shown = f"{self.process} {self.action} {self.key} = {self.value}, {self.begin:.3f} to {self.end:.3f}"
        return f"{shown}, {self.error}: {self.why}" if self.error else shown


@dataclass
class Log:
    """One process's history, read back."""

    process: str
    notes: list[dict[str, Any]] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)

    def of(self, kind: str) -> abc.Iterator[dict[str, Any]]:
        """The notes of a kind, in order."""
        return (note for note in self.notes if note["kind"] == kind)


def read(path: Path) -> Log:
    """A torn last line is of a process that was killed, and is passed over."""
    log, pending = Log(path.stem), {}
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        note = json.loads(line)
        match note["kind"]:
            case "call":
                operation = Operation(log.process, note["action"], note["key"], note["value"], note["at"])
                pending[note["number"]] = operation
                log.operations.append(operation)
            case "answer":
                operation = pending.pop(note["number"])
                operation.end, operation.error, operation.why = note["at"], note["error"], note["why"]
                operation.version = note["version"]
                if operation.action != "write":
                    operation.value = note["value"]
            case _:
                log.notes.append(note)
    return log
