"""Each parser of outside input for a second, from the corpus: see CONTRIBUTING.md, and `make fuzz` for longer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fuzzing.http import HTTP
from fuzzing.parsers import PLAIN
from fuzzing.rows import ROWS
from fuzzing.running import fuzz, judged
from fuzzing.servers import SERVERS
from fuzzing.target import CORPUS, Target, simply
from fuzzing.targets import TARGETS

from keysvc.errors import InvalidInput

SECONDS = 1.0


@pytest.mark.parametrize("target", [*PLAIN, ROWS, HTTP, *SERVERS], ids=lambda target: target.name)
def test_whatever_comes_is_taken_or_refused_in_time(target: Target, tmp_path: Path) -> None:
    report = fuzz(target, tmp_path, SECONDS)
    assert report.failure is None, f"{report.failure.what}: {report.failure.content[:300]!r}"
    assert report.executions >= len(target.corpus())


def test_every_file_of_the_corpus_is_of_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= TARGETS.keys()


def _fails(content: bytes) -> None:
    if content == b"error":
        raise LookupError(content)
    if content == b"slow":
        ends = time.process_time() + 1.1
        while time.process_time() < ends:
            pass
    if content == b"large":
        bytearray(512 * 2**20)[::4096] = b"x" * (512 * 2**8)
    raise InvalidInput("it is none of them")


@pytest.mark.parametrize(("content", "what"), [(b"error", "LookupError"), (b"slow", "1.1 s"), (b"large", "MiB")])
def test_an_input_that_breaks_a_limit_is_found(content: bytes, what: str) -> None:
    _path, wrong = judged(Target("fails", simply(_fails), [b""]), _fails, content)
    assert what in wrong


def test_an_input_that_is_refused_breaks_none() -> None:
    _path, wrong = judged(Target("fails", simply(_fails), [b""]), _fails, b"other")
    assert wrong == ""


def test_the_same_seed_makes_the_same_inputs(tmp_path: Path) -> None:
    def seen(seed: int) -> list[bytes]:
        inputs: list[bytes] = []
        fuzz(Target("seen", simply(inputs.append), [b"abc"]), tmp_path, 0.1, seed)
        return inputs[:50]

    assert seen(1) == seen(1) != seen(2)
