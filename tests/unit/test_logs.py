"""Log lines, as a service writes them to its standard error, and as an application's own handlers get them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from keysvc.plugin.logs import get_logger

SAID = """
import logging
from keysvc.plugin.logs import get_logger, log_to_stderr

log_to_stderr()
log = get_logger("keysvc.test")
log.debug("nobody sees this")
log.info("a version is active", version=2, held=(1, 2))
log.error("it failed", problem="two words\\x1b[0m", at=ValueError)
logging.getLogger("theirs").setLevel(logging.DEBUG)
logging.getLogger("theirs").info("nor this")
try:
    raise ValueError("geheim")
except ValueError:
    logging.getLogger("theirs").warning("%s lines\\nof a plugin", 2, exc_info=True)
"""


def test_a_line_is_json_with_the_event_its_values_its_level_and_when_it_was() -> None:
    said = subprocess.run([sys.executable, "-c", SAID], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in said.stderr.splitlines()]
    times = [datetime.fromisoformat(line.pop("timestamp")) for line in lines]
    assert all(timedelta() <= datetime.now(UTC) - at < timedelta(minutes=5) for at in times)
    assert lines == [
        {"version": 2, "held": [1, 2], "event": "a version is active", "level": "info"},
        {"problem": "two words\x1b[0m", "at": repr(ValueError), "event": "it failed", "level": "error"},
        {"event": "2 lines\nof a plugin", "level": "warning"},
    ]
    assert said.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_on_a_terminal_a_line_is_for_people_and_only_we_colour_it() -> None:
    ours, theirs = os.openpty()
    subprocess.run([sys.executable, "-c", SAID], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode().split("\r\n")
    os.close(ours)
    assert [line[28:].replace("\x1b[0m", "").replace("\x1b[1m", "").rstrip() for line in shown] == [
        "[info    ] a version is active            version=2 held=(1, 2)",
        "[\x1b[31merror   ] it failed                      problem='two words\\x1b[0m' at=<class 'ValueError'>",
        "[\x1b[33mwarning ] 2 lines of a plugin",
        "",
    ]


def test_an_application_gets_the_values_with_the_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "keysvc")
    get_logger("keysvc.test").info("refused", path="/v1/poll", problem="not let in")
    assert caplog.messages == ["refused path=/v1/poll problem='not let in'"]
    assert caplog.records[0].msg.values == {"path": "/v1/poll", "problem": "not let in"}
