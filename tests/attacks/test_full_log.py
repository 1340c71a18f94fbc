"""Nobody reads the log: its pipe is full. The service goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from sites import Site
from strangers import administrator, asked
from systems import eventually

STATUS = "GET /v1/status HTTP/1.1\nHost: keysvc\nConnection: close\n\n"
NOTHING = "GET /v1/nothing/{} HTTP/1.1\nHost: keysvc\nConnection: close\n\n"


def fill(pipe: int) -> None:
    """By a descriptor of its own: whether writing waits is a matter of each."""
    filling = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(filling, b"\n" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(filling, b"\n")
    os.close(filling)


def test_a_full_pipe_of_the_log_holds_up_no_request_and_no_end(site: Site) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "keysvc", "--config", str(site.machine.config), "serve"]
    with subprocess.Popen(command, stderr=writing) as serving:
        try:
            eventually(lambda: site.state()["state"] == "ready")
            fill(writing)
            for number in range(5):
                with administrator(site) as connection:  # a line of the log for each
                    assert asked(connection, NOTHING.format(number)).startswith(b"HTTP/1.1 404 ")
            with administrator(site) as connection:
                assert asked(connection, STATUS).startswith(b"HTTP/1.1 200 OK")
            serving.terminate()
            assert serving.wait(60) == 0
        finally:
            serving.kill()
            os.close(writing)
    with os.fdopen(reading, "rb") as said:
        assert any(b"a master secret server of" in line for line in said)
