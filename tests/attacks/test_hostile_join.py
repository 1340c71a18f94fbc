"""A server that a machine is to join, and that is not what it says: nothing is believed, and nothing lasts for ever."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections import abc
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from systems import Keysvc

from keysvc.crypto import certificates
from keysvc.errors import AccessDenied, KeysvcError, MasterSecretServerUnavailable, ProtocolError
from keysvc.master.join_token import JoinToken
from keysvc.model import Role, SecretText, host_name, utc_now
from keysvc.web.master import client

SYSTEM = "5" * 32
SECRET = "s" * 40


@pytest.fixture(scope="module")
def genuine() -> certificates.KeyPair:
    return certificates.create_authority(SYSTEM, now=utc_now())


@pytest.fixture(scope="module")
def hostile() -> certificates.KeyPair:
    return certificates.create_authority(SYSTEM, now=utc_now())


@contextmanager
def server(
    folder: Path, authority: certificates.KeyPair, answer: abc.Callable[[ssl.SSLSocket, bytes], None]
) -> abc.Iterator[str]:
    """A TLS server whose certificate is of `authority`; gives each connection and its request to `answer`."""
    pair = certificates.issue(
        authority, "master", Role.MASTER, now=utc_now(), hosts=[host_name(Role.MASTER, SYSTEM)], system_id=SYSTEM
    )
    (folder / "server.pem").write_bytes(pair.certificate + pair.key.reveal())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    listening = socket.create_server(("127.0.0.1", 0))

    def one(connected: socket.socket) -> None:
        try:
            with context.wrap_socket(connected, server_side=True) as shown:
                answer(shown, shown.recv(65536))
        except OSError:
            connected.close()

    def serve() -> None:
        while True:
            try:
                connected, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connected,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def said(content: object) -> bytes:
    body = json.dumps(content).encode() if not isinstance(content, bytes) else content
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def token_for(authority: certificates.KeyPair) -> JoinToken:
    return JoinToken(certificates.fingerprint(authority.certificate), SecretText(SECRET))


@pytest.mark.parametrize(
    "content",
    [
        {"certificate": "Zertifikät \ud83d\ude00", "system_id": SYSTEM},
        {"certificate": "", "system_id": SYSTEM},
        {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "system_id": SYSTEM},
        {"certificate": 1},
        b"\xff\xfe",
        b"[" * 60_000,
    ],
)
def test_an_answer_that_is_none_is_one_error(
    tmp_path: Path, hostile: certificates.KeyPair, genuine: certificates.KeyPair, content: Any
) -> None:
    with server(tmp_path, hostile, lambda shown, _: shown.sendall(said(content))) as url, pytest.raises(ProtocolError):
        client.join(url, token_for(genuine), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_authority_that_follows_the_pinned_one_is_not_trusted(
    tmp_path: Path, hostile: certificates.KeyPair, genuine: certificates.KeyPair
) -> None:
    asked: list[bytes] = []

    def answer(shown: ssl.SSLSocket, request: bytes) -> None:
        asked.append(request)
        both = (genuine.certificate + hostile.certificate).decode()
        shown.sendall(said({"certificate": both, "system_id": SYSTEM}))

    with server(tmp_path, hostile, answer) as url, pytest.raises((AccessDenied, MasterSecretServerUnavailable)):
        client.join(url, token_for(genuine), tmp_path / "new")
    assert len(asked) == 1
    assert all(SECRET.encode() not in request for request in asked)


@pytest.mark.parametrize("at", ["handshake", "answer"])
def test_a_server_that_drips_is_given_up(
    tmp_path: Path, hostile: certificates.KeyPair, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(client, "UNVERIFIED_SECONDS", 2.0)
    ended = threading.Event()

    def drip(send: abc.Callable[[bytes], object]) -> None:
        while not ended.wait(0.3):
            send(b"\x16" if at == "handshake" else b"H")

    def answer(shown: ssl.SSLSocket, _request: bytes) -> None:
        drip(shown.send)

    began = time.monotonic()
    try:
        if at == "answer":
            with (
                server(tmp_path, hostile, answer) as url,
                pytest.raises(MasterSecretServerUnavailable, match="within 2"),
            ):
                client.join(url, token_for(hostile), tmp_path / "new")
        else:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                dripping = threading.Thread(target=lambda: _drip_a_record(listening, drip))
                dripping.start()
                url = f"https://127.0.0.1:{listening.getsockname()[1]}"
                with pytest.raises(MasterSecretServerUnavailable, match="within 2"):
                    client.join(url, token_for(hostile), tmp_path / "new")
                ended.set()
                dripping.join()
        assert time.monotonic() - began < 20
    finally:
        ended.set()


def _drip_a_record(listening: socket.socket, drip: abc.Callable[[abc.Callable[[bytes], object]], None]) -> None:
    """A TLS record of 16 KiB begins, and its bytes never end."""
    with listening.accept()[0] as connected:
        connected.sendall(b"\x16\x03\x03\x40\x00")
        drip(connected.send)


@pytest.mark.parametrize("url", ["https://h:99999", "https://h:x", "http://h", "https://", "h", "https://[::1"])
def test_a_url_that_is_none_is_one_error(tmp_path: Path, hostile: certificates.KeyPair, url: str) -> None:
    with pytest.raises(KeysvcError, match="must be https://HOST:PORT"):
        client.join(url, token_for(hostile), tmp_path / "new")


def test_a_token_as_an_argument_is_refused_and_not_repeated(tmp_path: Path, keysvc: Keysvc) -> None:
    token = str(JoinToken("a" * 64, SecretText(SECRET)))
    refused = keysvc("join", "https://127.0.0.1:1", "--token", token, "--dir", tmp_path / "new")
    assert refused.status == 1
    assert refused.err.startswith("error: invalid-input: a token is a secret")
    assert SECRET not in refused.out + refused.err
    (tmp_path / "token").write_text(token)
    for given, stdin in ((tmp_path / "token", ""), ("-", token)):
        answered = keysvc("join", "https://127.0.0.1:1", "--token-file", given, "--dir", tmp_path / "new", stdin=stdin)
        assert "does not answer" in answered.err
        assert SECRET not in answered.err
    assert "--token-file FILE is needed" in keysvc("join", "https://127.0.0.1:1", "--dir", tmp_path / "new").err
