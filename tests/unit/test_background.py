"""Threads that last."""

from __future__ import annotations

import threading

import pytest

from keysvc.plugin import background
from keysvc.plugin.background import lasting

WAIT = 30


def test_a_task_that_fails_is_logged_and_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_SECONDS", 0.001)
    runs = iter((PermissionError(13, "Permission denied"), ValueError("s3cret"), None))

    def work() -> None:
        if (error := next(runs)) is not None:
            raise error

    thread = lasting("poller", work, lambda: False)
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert next(runs, "all were taken") == "all were taken"
    assert caplog.text.count("a background task failed, and begins again") == 2
    assert "Permission denied" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_task_that_fails_while_it_is_to_end_does_not_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_SECONDS", 0.001)
    over, runs = threading.Event(), []

    def work() -> None:
        runs.append(1)
        over.set()
        raise OSError

    thread = lasting("poller", work, over.is_set)
    thread.start()
    thread.join(WAIT)
    assert (thread.is_alive(), len(runs)) == (False, 1)
