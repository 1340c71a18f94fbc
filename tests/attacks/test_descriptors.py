"""Descriptors that run out: the service goes on, and its log does not fill the disk."""

from __future__ import annotations

import contextlib
import resource
import time

import pytest
from sites import Site
from strangers import accepted, administrator, asked, silent
from systems import eventually

LIMIT = 160
STATUS = "GET /v1/status HTTP/1.1\nHost: keysvc\nConnection: close\n\n"
SECONDS = 5


@pytest.fixture
def limited(site: Site) -> Site:
    process = site.serve()
    resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    return site


def test_an_administrator_gets_in_while_strangers_take_every_descriptor(limited: Site) -> None:
    with contextlib.ExitStack() as ending:
        for _ in range(2 * LIMIT):
            ending.enter_context(silent(limited))
        with administrator(limited) as connection:
            assert asked(connection, STATUS).startswith(b"HTTP/1.1 200 OK")
        assert accepted(limited) < LIMIT


def test_more_connections_than_descriptors_are_few_log_lines_and_no_end(limited: Site) -> None:
    process = limited.running[0]
    with contextlib.ExitStack() as ending:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            for _ in range(LIMIT):
                known = ending.enter_context(administrator(limited))
                known.sendall(b"GET /v1/authority HTTP/1.1\r\nHost: keysvc\r\n\r\n")  # idle, it may stay for 75 s
                assert known.recv(65536)
        while time.monotonic() < began + SECONDS:
            with contextlib.suppress(OSError):
                ending.enter_context(silent(limited))
            time.sleep(0.02)
        lines = process.log.read_bytes().splitlines()
        assert len(lines) < 20 * (time.monotonic() - began)
        eventually(lambda: b"connections as this account may have" in process.log.read_bytes())
        assert accepted(limited) < LIMIT

    def answers() -> bool:
        with contextlib.suppress(OSError), administrator(limited) as connection:
            return asked(connection, STATUS).startswith(b"HTTP/1.1 200 OK")
        return False

    eventually(answers)
