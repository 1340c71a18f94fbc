"""How a server is run."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import sys
import threading
from collections import abc
from pathlib import Path

import pytest

from keysvc.crypto import certificates
from keysvc.model import Role, utc_now
from keysvc.web.asgi import server
from keysvc.web.asgi.exchange import ASGI, Receive, Response, Scope, Send, in_thread, read_body
from keysvc.web.asgi.long_poll import Waiting
from keysvc.web.asgi.server import Server, listen
from keysvc.web.tls.identity_files import IdentityFiles


def test_a_server_may_have_as_many_connections_as_its_account() -> None:
    code = """
import resource
from keysvc.web.asgi.server import allow_connections
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
allow_connections()
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "True\n"


def test_the_body_of_an_answer_does_not_wait_for_its_head_to_be_acknowledged() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@contextlib.contextmanager
def asked(app: ASGI, request: str) -> abc.Iterator[socket.socket]:
    """A connection on which `request` was sent to a server of `app`."""
    at = listen("127.0.0.1", 0)
    serving = Server(app, at, None, knows=lambda _: True).in_background()
    with serving, socket.create_connection(at.getsockname()) as connection:
        connection.settimeout(60)
        connection.sendall(request.replace("\n", "\r\n").encode())
        yield connection


def until_closed(connection: socket.socket) -> str:
    return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def saying(*pieces: bytes, after_head: abc.Callable[[], object] = lambda: None) -> ASGI:
    """Echoes the body of a request, then says the pieces."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        length = b"%d" % len(body + b"".join(pieces))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await in_thread(after_head)
        for piece in (body, *pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}"


def test_the_head_of_an_answer_goes_with_its_body() -> None:
    head_is_said, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        head_is_said.set()
        go_on.wait(60)

    with asked(saying(b"one", b"two", after_head=wait), "GET / HTTP/1.1\nConnection: close\n\n") as connection:
        assert head_is_said.wait(60)
        assert select.select([connection], [], [], 0.2)[0] == []
        go_on.set()
        assert until_closed(connection) == ANSWER.format(6, "onetwo")


def test_who_waits_for_permission_to_send_its_body_gets_it_at_once() -> None:
    head = "PUT / HTTP/1.1\nExpect: 100-continue\nContent-Length: 3\nConnection: close\n\n"
    with asked(saying(b"!"), head) as connection:
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert until_closed(connection) == ANSWER.format(4, "abc!")


def test_a_head_that_was_asked_for_alone_is_answered() -> None:
    with asked(saying(b"one"), "HEAD / HTTP/1.1\nConnection: close\n\n") as connection:
        assert until_closed(connection) == ANSWER.format(3, "")


def test_requests_that_came_together_are_answered_in_their_order() -> None:
    ask = "PUT / HTTP/1.1\nContent-Length: 1\n{}\n{}"
    with asked(saying(b"!"), ask.format("", "a") + ask.format("Connection: close\n", "b")) as connection:
        first = ANSWER.format(2, "a!").replace("connection: close\r\n", "")
        assert until_closed(connection) == first + ANSWER.format(2, "b!")


def test_a_request_that_names_two_hosts_is_refused() -> None:
    with asked(saying(b"one"), "GET / HTTP/1.1\nHost: a\nHost: b\n\n") as connection:
        assert until_closed(connection).startswith("HTTP/1.1 400 ")


def test_who_has_too_many_connections_under_one_certificate_loses_the_oldest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "MAXIMUM_OF_ONE_CERTIFICATE", 3)
    authority = certificates.create_authority("5" * 32, now=utc_now())
    contexts = []
    for name, role in (("one", Role.MASTER), ("anna", Role.USER), ("bert", Role.USER)):
        files = IdentityFiles(tmp_path / name)
        pair = certificates.issue(authority, name, role, now=utc_now(), hosts=["one.example"], system_id="5" * 32)
        files.write(pair.certificate, pair.key, authority.certificate)
        contexts.append(files.server_context() if role is Role.MASTER else files.client_context())
    serves, *clients = contexts
    at = listen("127.0.0.1", 0)

    def asks(client: ssl.SSLContext) -> ssl.SSLSocket:
        plain = ending.enter_context(socket.create_connection(at.getsockname(), timeout=60))
        connection = ending.enter_context(client.wrap_socket(plain, server_hostname="one.example"))
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.recv(4096)
        return connection

    with Server(saying(b"one"), at, serves).in_background(), contextlib.ExitStack() as ending:
        other = asks(clients[1])
        first, *kept = [asks(clients[0]) for _ in range(4)]
        assert until_closed(first) == ""
        for connection in (other, *kept):
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert connection.recv(4096)


def test_an_event_loop_that_is_held_up_gives_no_sign_of_life() -> None:
    waiting, is_held, go_on, answered = Waiting(), threading.Event(), threading.Event(), threading.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        is_held.set()
        go_on.wait(60)
        await Response(204).send(send)

    at = listen("127.0.0.1", 0)
    serving = Server(app, at, None, at_start=waiting.serve)
    waiting.ask(answered.set)
    assert answered.is_set()  # nothing is served yet
    answered.clear()
    with serving.in_background(), socket.create_connection(at.getsockname()) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert is_held.wait(60)
        waiting.ask(answered.set)
        assert not answered.wait(0.2)
        go_on.set()
        assert answered.wait(60)
        assert until_closed(connection).startswith("HTTP/1.1 204 ")
