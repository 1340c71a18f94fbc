"""Whoever holds a connection and says nothing, or little, is cut, and keeps nobody out meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import abc

from sites import Site
from strangers import administrator, asked, closed_after, silent, stranger

EACH = 12
HEAD_SECONDS, BODY_SECONDS, LATE_SECONDS = 10, 30, 8
STATUS = "GET /v1/status HTTP/1.1\nHost: keysvc\nConnection: close\n\n"


def test_a_handshake_and_a_head_end_within_10_seconds_and_a_body_within_30(site: Site) -> None:
    process = site.serve()
    with contextlib.ExitStack() as ending:
        saying = {
            b"GET /v1/authority HTTP/1.1\r\nHost: ": HEAD_SECONDS,
            b"": HEAD_SECONDS,
            b"POST /v1/join HTTP/1.1\r\nContent-Length: 100\r\n\r\n{": BODY_SECONDS,
        }
        held = [ending.enter_context(silent(site)) for _ in range(EACH)]
        within = [HEAD_SECONDS] * EACH
        for said, seconds in saying.items():
            for _ in range(EACH):
                held.append(ending.enter_context(stranger(site)))
                held[-1].sendall(said)
                within.append(seconds)
        known = ending.enter_context(administrator(site))
        known.sendall(b"POST /v1/enrolments HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        ends = closed_after([*held, known], BODY_SECONDS + LATE_SECONDS)
    for ended, seconds in zip(ends, [*within, BODY_SECONDS], strict=True):
        assert ended is not None
        assert ended < seconds + LATE_SECONDS
    assert len(process.log.read_bytes().splitlines()) < 100


def test_the_65th_connection_without_a_certificate_closes_the_first(site: Site) -> None:
    site.serve()
    with contextlib.ExitStack() as ending:
        held = [ending.enter_context(stranger(site)) for _ in range(64)]
        assert closed_after(held, 1) == [None] * 64
        ending.enter_context(stranger(site))
        first, *others = closed_after(held, 2)
        assert first is not None
        assert others == [None] * 63


@contextlib.contextmanager
def dripping(site: Site, number: int) -> abc.Iterator[None]:
    """So many strangers that send a byte now and then, and come back when they are cut."""
    over = threading.Event()

    def drip() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), stranger(site) as connection:
                connection.sendall(b"GET /v1/authority HTTP/1.1\r\na: ")
                while not over.wait(0.2):
                    connection.sendall(b"a")

    threads = [threading.Thread(target=drip) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_an_administrator_works_while_100_connections_drip(site: Site) -> None:
    process = site.serve()
    took = []
    with dripping(site, 100):
        for _ in range(100):
            began = time.monotonic()
            with administrator(site) as connection:
                assert asked(connection, STATUS).startswith(b"HTTP/1.1 200 OK")
            took.append(time.monotonic() - began)
    print(f"p50 {sorted(took)[50] * 1000:.0f} ms, p99 {sorted(took)[98] * 1000:.0f} ms")
    assert sorted(took)[98] < 5
    assert len(process.log.read_bytes().splitlines()) < 20 * (10 + sum(took))


def test_a_poll_waits_longer_than_any_of_that(site: Site) -> None:
    """It is asked by somebody who is known, and it has been received whole."""
    site.serve()
    with administrator(site) as connection:
        connection.sendall(b"GET /v1/poll?instance=1&wait=0 HTTP/1.1\r\nHost: keysvc\r\n\r\n")
        answer = connection.recv(65536).decode()
        etag = answer.split("etag: ")[1].split("\r\n")[0]
        began = time.monotonic()
        request = f"GET /v1/poll?instance=1&wait=60 HTTP/1.1\r\nHost: keysvc\r\nIf-None-Match: {etag}\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 304 ")
        assert time.monotonic() - began > 0.2
