"""The way through TLS that libldap is given: it relays both ways, and ends at its deadline."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import abc
from pathlib import Path

import pytest
import trustme
from keysvc_ldap import connecting


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return tmp_path / "ca.pem"


@pytest.fixture
def echo(ca_file: Path) -> abc.Iterator[int]:
    """The port of a server with TLS 1.3, whose tickets follow the handshake. It says nothing but what it hears."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True) as made:
                while data := made.recv(1024):
                    made.sendall(data)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield listening.getsockname()[1]
        serving.join(20)
    assert not serving.is_alive()


def test_what_goes_in_comes_out_although_a_session_ticket_came_first(echo: int, ca_file: Path) -> None:
    with connecting.through_tls("localhost", echo, 20, str(ca_file)) as way:
        way.settimeout(20)
        for said in (b"one", b"two" * 100_000):
            way.sendall(said)
            heard = b""
            while len(heard) < len(said):
                heard += way.recv(65536)
            assert heard == said


def test_a_server_that_says_nothing_is_cut_off_at_the_deadline(echo: int, ca_file: Path) -> None:
    with connecting.through_tls("localhost", echo, 1, str(ca_file)) as way:
        way.settimeout(20)
        assert way.recv(1) == b""


def test_it_ends_at_once_when_nobody_wants_it_any_more(echo: int, ca_file: Path) -> None:
    with connecting.through_tls("localhost", echo, 1000, str(ca_file)) as way:
        way.settimeout(20)
    assert way.fileno() == -1
