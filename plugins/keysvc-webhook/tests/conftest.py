"""A receiver as others write them: HTTPS, and signatures checked with the Standard Webhooks library."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from collections import abc
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from keysvc_webhook import open_webhook
from keysvc_webhook.notifier import WebhookNotifier
from standardwebhooks import Webhook, WebhookVerificationError

from keysvc.plugin import Location, Opening, SecretText

SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
SYSTEM_ID = "5" * 32
Answer = abc.Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Receiver:
    """Accepts what is signed, unless told to answer otherwise. `deliveries` holds everything that it accepted."""

    authority: trustme.CA
    host: str = "localhost"
    port: int = 0
    secret: str = SECRET
    answers: list[Answer] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None

    def start(self, tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = tls
        self.authority.issue_cert(self.host).configure_cert(context)
        server = _Server(("127.0.0.1", self.port), _handler(self), context)
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def receive(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(headers)
        if self.answers:
            self.answers.pop(0)(request)
            return
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            answered(401)(request)
            return
        self.deliveries.append(json.loads(body))
        answered(204)(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, at: tuple[str, int], handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext) -> None:
        super().__init__(at, handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of these tests."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.receive(self)

        def log_message(self, *arguments: object) -> None:
            """Nobody reads it."""

    return Handler


def answered(status: int, headers: abc.Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"content-length": str(len(body)), "connection": "close", **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
        request.close_connection = True

    return answer


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def receiver(authority: trustme.CA) -> abc.Iterator[Receiver]:
    made = Receiver(authority)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def open_url() -> abc.Callable[..., WebhookNotifier]:
    """Open a URL as keysvc does, with the signing secret."""

    def open_url(url: str, secret: str = SECRET) -> WebhookNotifier:
        return open_webhook(Opening(Location.parse(url), lambda _what: SecretText(secret), SYSTEM_ID))

    return open_url


@pytest.fixture
def open_notifier(receiver: Receiver, ca_file: Path, open_url) -> abc.Callable[[], WebhookNotifier]:
    return lambda: open_url(f"webhook+https://localhost:{receiver.port}/hook?ca-file={ca_file}&allow-private=yes")


@pytest.fixture
def answers() -> abc.Callable[..., Answer]:
    return answered
