"""Memory is not to be had without a certificate: everything that is not the body of a request is bounded."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import tempfile
from collections import abc
from pathlib import Path

import pytest
from sites import Site
from strangers import MIB, asked, heard, memory, stranger
from systems import eventually, run_keysvc

from keysvc.cli.demo.processes import Machine, free_port
from keysvc.installation import config as configuration

NOBODY = 65534
MANY = 32 * MIB
ALLOWED = 16 * MIB
JOIN = "POST /v1/join HTTP/1.1\nHost: keysvc\nContent-Type: application/json\n"
CHUNKED = JOIN + "Transfer-Encoding: chunked\n\n2\n{}\n"


def sent(connection: socket.socket, head: str, piece: bytes, most: int = MANY) -> str:
    """What comes back for `head` and as much of 32 MiB of `piece` as the server reads."""
    several = piece * (64 * 1024 // len(piece) + 1)
    with contextlib.suppress(OSError):
        connection.sendall(head.replace("\n", "\r\n").encode())
        for _ in range(max(1, most // len(several))):
            connection.sendall(several)
    return heard(connection).decode()


FLOODS = {
    "trailers": (CHUNKED + "0\n", b"a: b\r\n"),
    "extensions of chunks": (CHUNKED + "1", b";a=b"),
    "chunks of one byte": (CHUNKED, b"1\r\n \r\n"),
    "headers": ("GET /v1/authority HTTP/1.1\n", b"a: b\r\n"),
    "one header": ("GET /v1/authority HTTP/1.1\na: ", b"bbbb"),
    "a URL": ("GET /", b"aaaa"),
    "requests at once": ("", b"GET /v1/authority HTTP/1.1\r\n\r\n"),
    "a body": (JOIN + f"Content-Length: {MANY}\n\n", b"    "),
    "line ends": ("", b"\r\n"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[Site]:
    """One for all of them: what is refused changes nothing."""
    folder = tmp_path_factory.mktemp("site")
    made = Site(folder, functools.partial(run_keysvc, folder / "home"))
    made.init()
    made.serve()
    yield made
    made.end()


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_cut_and_leaves_no_memory_behind(running: Site, kind: str) -> None:
    process = running.running[0]
    before = memory(process)
    with stranger(running) as connection:
        answer = sent(connection, *FLOODS[kind])
    assert memory(process) - before < ALLOWED
    assert " 500 " not in answer
    with stranger(running) as connection:
        assert asked(connection, "GET /v1/authority HTTP/1.1\n\n").startswith(b"HTTP/1.1 200 OK")


REFUSED = {
    "trailers": (CHUNKED + "0\nX: 1\n\n", 400),
    "101 headers": ("GET / HTTP/1.1\n" + "a: b\n" * 101 + "\n", 431),
    "a header of 32 KiB": (f"GET / HTTP/1.1\na: {'b' * 32768}\n\n", 431),
    "a URL of 16 KiB": (f"GET /{'a' * 16384} HTTP/1.1\n\n", 414),
    "18 requests at once": ("GET /v1/status HTTP/1.1\nHost: keysvc\n\n" * 18, 403),
    "another protocol": ("SSH-2.0-OpenSSH_9.2\n", 400),
    "HTTP/2": ("PRI * HTTP/2.0\n\nSM\n\n", 400),
    "a body of 65 KiB": (JOIN + f"Content-Length: {65 * 1024}\n\n" + "[" * 65 * 1024, 400),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_answered_with_a_problem_and_the_connection_ends(running: Site, kind: str) -> None:
    request, status = REFUSED[kind]
    with stranger(running) as connection:
        head, _, body = asked(connection, request).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    assert b"connection: close" in head
    assert json.loads(body)["status"] == status


@contextlib.contextmanager
def acting_as(uid: int) -> abc.Iterator[None]:
    """What connects meanwhile belongs to another account."""
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def open_to_all() -> abc.Iterator[Path]:
    """A directory that every account may pass through, and none but ours may write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as another account")
def test_an_account_that_may_not_use_the_agent_is_refused_before_its_request_is_read(
    site: Site, open_to_all: Path
) -> None:
    site.serve()
    web = Machine(site.folder / "web", site.folder / "logs")
    token = site("server", "enroll", "web-01").out.strip()
    url = configuration.load(site.machine.config).own_url
    where = ("--dir", str(web.directory), "--agent", f"127.0.0.1:{free_port()}")
    web.run("join", url, "--token", "-", *where, configured=False, stdin=token)
    at = open_to_all / "agent.sock"
    with web.config.open("a") as config:
        config.write(f'agent_socket = "{at}"\nagent_callers = ["daemon"]\n')
    with web.start("agent") as process:
        eventually(at.exists)

        def sending(head: str, piece: bytes = b"\r\n", most: int = MANY) -> str:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(30)
                with acting_as(NOBODY):
                    connection.connect(str(at))
                return sent(connection, head, piece, most)

        assert " 403 " in sending("GET /v1/status HTTP/1.1\n", most=65536)
        before = memory(process)
        answer = sending("PUT /v1/credential HTTP/1.1\nTransfer-Encoding: chunked\n\n0\n", b"a: b\r\n")
        assert answer == "" or " 400 " in answer or " 403 " in answer
        assert memory(process) - before < ALLOWED
