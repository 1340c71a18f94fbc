"""Probes on the wire, by the server that answers them."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections import abc
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from systems import System
from web_servers import certificate, enrolled

from keysvc.installation import config
from keysvc.model import Role
from keysvc.operating.health import Check, Health
from keysvc.operating.probes import Metrics, answered, probes_app
from keysvc.plugin.heartbeat import Heart
from keysvc.web.asgi.server import Server, listen
from keysvc.web.asgi.strangers import MAXIMUM_STRANGERS


def health(*checks: Check) -> Health:
    made = Health(Heart())
    made.serves(lambda: [Check("started"), *checks])
    return made


@contextmanager
def probes(found: Health, metrics: Metrics | None = None) -> abc.Iterator[tuple[str, int]]:
    at = listen("127.0.0.1", 0)
    with Server(probes_app(found, metrics), at, None).in_background("probes"):
        yield at.getsockname()


def ask(at: tuple[str, int], path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection(*at, timeout=60)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_a_service_that_is_well_says_so_in_one_word_or_check_by_check() -> None:
    with probes(health(Check("key-store", "does not answer", is_needed=False))) as at:
        assert ask(at, "/livez") == (200, "ok\n")
        assert ask(at, "/readyz") == (200, "ok\n")
        assert ask(at, "/readyz?verbose") == (200, "[+]started ok\n[!]key-store does not answer\nok\n")
        assert ask(at, "/readyz", "HEAD") == (200, "")


def test_a_service_that_is_not_ready_says_why() -> None:
    with probes(health(Check("lease", "is not held now"))) as at:
        assert ask(at, "/readyz") == (503, "[+]started ok\n[-]lease is not held now\nfailed\n")
        assert ask(at, "/livez") == (200, "ok\n")


def test_metrics_have_the_media_type_that_they_say() -> None:
    with probes(health(), Metrics("text/x-metrics", lambda: b"one 1\n")) as at:
        connection = http.client.HTTPConnection(*at, timeout=60)
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"], response.read()) == (
            200,
            "text/x-metrics",
            b"one 1\n",
        )
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/metrics", 404), ("GET", "/v1/status", 404), ("POST", "/livez", 405)]
)
def test_nothing_else_is_answered(method: str, path: str, status: int) -> None:
    with probes(health()) as at:
        assert ask(at, path, method)[0] == status


def test_strangers_who_hold_on_keep_no_probe_out() -> None:
    with probes(health()) as at:
        held = [socket.create_connection(at) for _ in range(2 * MAXIMUM_STRANGERS)]
        assert ask(at, "/livez") == (200, "ok\n")
        for each in held:
            each.close()


def test_probes_are_answered_while_the_service_hangs() -> None:
    held, go_on = threading.Event(), threading.Event()

    async def hangs(_scope: object, _receive: object, _send: object) -> None:
        held.set()
        go_on.wait(60)

    service = listen("127.0.0.1", 0)
    with Server(hangs, service, None).in_background(), probes(health()) as at:
        connection = socket.create_connection(service.getsockname())
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert held.wait(60)
        assert ask(at, "/livez") == (200, "ok\n")
        go_on.set()
        connection.close()


def test_probes_on_a_unix_socket(tmp_path: Path) -> None:
    settings = SimpleNamespace(probes="unix:probes.sock", resolve=lambda path: tmp_path / path)
    with answered(settings, None, health()), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(tmp_path / "probes.sock"))
        connection.sendall(b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_probes_over_tls_are_for_certificates_of_this_system_alone(system: System, tmp_path: Path) -> None:
    system.start()
    own, theirs = (
        certificate(system, "web-01", Role.SERVER, tmp_path),
        enrolled(system, "scraper", Role.APPLICATION, tmp_path),
    )
    at = listen("127.0.0.1", 0)
    with Server(probes_app(health(), asks_certificate=True), at, own.server_context()).in_background("probes"):
        stranger = ssl.create_default_context(cafile=str(own.directory / "authority.pem"))
        for context, status in ((stranger, 403), (theirs.client_context(), 200)):
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            connection = http.client.HTTPSConnection(*at.getsockname(), timeout=60, context=context)
            connection.request("GET", "/livez")
            assert connection.getresponse().status == status
            connection.close()


@pytest.mark.parametrize("where", ["9464", "https://localhost", "host:70000"])
def test_a_place_that_is_none_is_refused(where: str) -> None:
    written = config.Config(system_id="0" * 32, mapping_store="sqlite:///x", master="https://m:1", probes=where)
    with pytest.raises(config.ConfigurationError, match="probes = "):
        config._check(written)
