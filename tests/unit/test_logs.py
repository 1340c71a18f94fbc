"""Log lines, as a service writes them to its standard error, and as an application's own handlers get them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from keysvc.errors import NotActive
from keysvc.plugin.logs import LONGEST_VALUE, Limited, get_logger
from keysvc.web.asgi.exchange import refusal

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


REPEATED = """
from keysvc.plugin.logs import get_logger, log_to_stderr

log_to_stderr()
for times in range(5):
    get_logger("keysvc.test").info("the same", version=2)
get_logger("keysvc.test").info("another")
get_logger("keysvc.test").info("another")
"""


def test_equal_lines_are_counted_and_not_repeated() -> None:
    said = subprocess.run([sys.executable, "-c", REPEATED], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in said.stderr.splitlines()]
    assert [(line["event"], line.get("version"), line.get("repeated")) for line in lines] == [
        ("the same", 2, None),
        ("the same", 2, 4),
        ("another", None, None),
        ("another", None, 1),
    ]


FULL = """
import os, sys, time
from keysvc.plugin.logs import MAXIMUM_WAITING_LINES, get_logger, log_to_stderr

reading, writing = os.pipe()
os.dup2(writing, 2)
os.close(writing)
log_to_stderr()
for number in range(3 * MAXIMUM_WAITING_LINES):
    get_logger("keysvc.test").info("a line", number=number, text="x" * 100)
if sys.argv[1] == "read":
    os.set_blocking(reading, False)
    said, deadline = b"", time.monotonic() + 60
    while b"dropped" not in said and time.monotonic() < deadline:
        try:
            said += os.read(reading, 65536)
        except BlockingIOError:
            time.sleep(0.01)
        get_logger("keysvc.test").info("a line later", at=time.monotonic())
    print(said.decode())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of Windows is another thing")
def test_a_log_that_nobody_reads_holds_nobody_up_and_tells_later_what_was_dropped() -> None:
    said = subprocess.run([sys.executable, "-c", FULL, "read"], capture_output=True, text=True, check=True, timeout=60)
    dropped = [json.loads(line) for line in said.stdout.splitlines() if "dropped" in line and line.endswith("}")]
    assert dropped[0]["event"] == "log lines were dropped: nobody read them in time"
    assert dropped[0]["lines"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of Windows is another thing")
def test_a_process_ends_although_nobody_reads_its_log() -> None:
    subprocess.run([sys.executable, "-c", FULL, "end"], check=True, timeout=60)


def test_what_others_cause_is_limited_cut_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "keysvc")
    limited = Limited(get_logger("keysvc.test"), 3)
    for number in range(1000):
        limited.info("refused", path="/" * 1000, number=number)
    values = [record.msg.values for record in caplog.records]
    assert 3 <= len(values) < 100
    assert all(len(value["path"]) == LONGEST_VALUE + 1 for value in values)
    limited = Limited(get_logger("keysvc.test"), 1)
    while "lines_left_out" not in caplog.records[-1].msg.values:
        limited.info("refused")


def test_a_standby_logs_once_that_it_refuses_polls_until_it_names_another_master(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "keysvc")
    for master in ("https://a.test", "https://a.test", "https://b.test", "https://a.test", "https://a.test"):
        for path in ("/v1/poll", "/v1/status"):
            refusal(NotActive(f"this is a standby; the master secret server is {master}"), path, is_known=True)
    assert [line.msg.values["problem"][-1 - len("a.test") :] for line in caplog.records] == [
        "/a.test",
        "/b.test",
        "/a.test",
    ]
