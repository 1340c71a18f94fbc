"""What a client makes of a server that does not do what it should."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import abc
from pathlib import Path

import pytest
from systems import SYSTEM_ID

from keysvc.crypto import certificates
from keysvc.errors import AccessDenied, MasterSecretServerUnavailable, ProtocolError
from keysvc.installation import assembly
from keysvc.model import Role, utc_now
from keysvc.web.asgi.problems import error_of
from keysvc.web.master.client import MasterClient
from keysvc.web.tls.identity_files import IdentityFiles

BROKEN_RECORD = b"\x16\x03\x03\x01\x00\x02\x00"
PLAIN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


def alert(description: int) -> bytes:
    """A fatal alert of TLS (RFC 8446, section 6)."""
    return bytes([0x15, 3, 3, 0, 2, 2, description])


@contextlib.contextmanager
def answered_with(folder: Path, answer: bytes, *, reset: bool = False) -> abc.Iterator[MasterClient]:
    """A client of a server that answers the first message with these bytes, and closes or resets the connection."""
    authority = certificates.create_authority(SYSTEM_ID, now=utc_now())
    pair = certificates.issue(authority, "web-01", Role.SERVER, now=utc_now())
    assembly.write_identity(folder, pair, authority.certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_once() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)  # the whole first message, so that closing is no reset
                connection.sendall(answer)
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        thread = threading.Thread(target=answer_once)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with contextlib.closing(MasterClient([url], IdentityFiles(folder), SYSTEM_ID)) as client:
            yield client
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(BROKEN_RECORD, id="part-of-a-record"),
        pytest.param(bytes([0x15, 3, 3, 0, 2, 1, 0]), id="close-notify"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_is_cut_in_its_handshake_is_an_outage_and_no_refusal(
    tmp_path: Path, answer: bytes, reset: bool
) -> None:
    with (
        answered_with(tmp_path, answer, reset=reset) as client,
        pytest.raises(MasterSecretServerUnavailable, match="does not answer: the connection was cut"),
    ):
        client.poll((), None)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(PLAIN, id="a-proxy-without-TLS"),
        pytest.param(b"\0" * 64, id="noise"),
        pytest.param(alert(80), id="internal-error"),
        pytest.param(alert(90), id="user-cancelled"),
        pytest.param(alert(40), id="handshake-failure"),
    ],
)
def test_a_failure_of_tls_that_is_not_about_a_certificate_is_an_outage(tmp_path: Path, answer: bytes) -> None:
    with answered_with(tmp_path, answer) as client, pytest.raises(MasterSecretServerUnavailable):
        client.poll((), None)


@pytest.mark.parametrize("description", [42, 43, 44, 45, 46, 48, 49, 51, 116])
def test_a_server_that_does_not_accept_the_certificate_refuses(tmp_path: Path, description: int) -> None:
    with answered_with(tmp_path, alert(description)) as client, pytest.raises(AccessDenied, match="ALERT"):
        client.poll((), None)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_error_that_is_not_of_keysvc_is_an_outage_when_its_status_says_so(status: int) -> None:
    assert isinstance(error_of(b"<html>Bad Gateway</html>", status), MasterSecretServerUnavailable)
    assert isinstance(error_of(b"<html>Not Found</html>", 404), ProtocolError)
