"""The whole story on one key store and one mapping store, with every notifier: `tox run -e matrix-file-sqlite`."""

from __future__ import annotations

import os
import shlex
import socket
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from collections import abc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from aiosmtpd.controller import Controller
from postgresql_server import start_or_skip

from keysvc.cli.demo.story import Story

ROOT = Path(__file__).parents[2]
_, KEY_STORE, MAPPING_STORE = os.environ["KEYSVC_TEST_COMBINATION"].split("-")
SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
Arrived = set[str]


def missing(what: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


@pytest.fixture
def key_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> abc.Iterator[str]:
    if KEY_STORE == "dpapi":
        if sys.platform != "win32":
            pytest.skip("the registry is Windows': run this there (keysvc-dpapi's own tests run under Wine)")
        yield "registry://HKCU/SOFTWARE/keysvc-matrix"
        return
    if KEY_STORE == "file":
        yield "file"
        return
    folder = tmp_path / "token"
    scripts = ROOT / "hsm" / KEY_STORE
    up = subprocess.run(["sh", scripts / "up.sh", folder], capture_output=True, text=True, check=False)
    if up.returncode:
        missing(f"{KEY_STORE} did not start: {up.stderr.strip().splitlines()[-1]}")
    environment = dict(word.split("=", 1) for word in shlex.split(up.stdout.replace(";", "\n")) if "=" in word)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    module, token, pin = (quote(environment[f"KEYSVC_TEST_PKCS11_{each}"]) for each in ("MODULE", "TOKEN", "PIN_FILE"))
    yield f"pkcs11:token={token};object=keysvc-matrix?module-path={module}&pin-source=file:{pin}"
    if (scripts / "down.sh").exists():
        subprocess.run(["sh", scripts / "down.sh", folder], check=False, capture_output=True)


@pytest.fixture
def mapping_store() -> abc.Iterator[str | None]:
    if MAPPING_STORE == "sqlite":
        yield None
    elif sys.platform == "win32":
        pytest.skip(f"this starts no {MAPPING_STORE} on Windows; on Linux it does")
    elif MAPPING_STORE == "postgresql":
        server = start_or_skip()
        yield server.new_database()
        server.remove()
    else:
        url = os.environ.get("KEYSVC_TEST_MSSQL_URL")
        if not url:
            missing("KEYSVC_TEST_MSSQL_URL names no empty database of a SQL Server")
        yield url


@pytest.fixture
def syslog() -> abc.Iterator[tuple[str, Arrived]]:
    arrived: Arrived = set()
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))

    def receive() -> None:
        while text := receiver.recv(65536).decode():
            arrived.add(text)

    receiving = threading.Thread(target=receive, daemon=True)
    receiving.start()
    yield f"syslog+udp://127.0.0.1:{receiver.getsockname()[1]}", arrived
    receiver.sendto(b"", receiver.getsockname())  # the end
    receiving.join(10)
    receiver.close()


@pytest.fixture
def mail() -> abc.Iterator[tuple[str, Arrived]]:
    arrived: Arrived = set()

    class Mailbox:
        async def handle_DATA(self, _server: object, _session: object, envelope: object) -> str:
            arrived.add(envelope.content.decode())
            return "250 2.0.0 OK"

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Controller(Mailbox(), hostname="127.0.0.1", port=port)
    server.start()
    yield f"smtp://127.0.0.1:{port}/?starttls=no&to=ops@example.com&from=keysvc@example.com", arrived
    server.stop()


@pytest.fixture
def webhook(tmp_path: Path) -> abc.Iterator[tuple[str, Arrived]]:
    arrived: Arrived = set()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    (tmp_path / "hook").write_text(SECRET, "utf-8")
    (tmp_path / "hook").chmod(0o600)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.add(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Nobody reads it."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    options = f"secret-source=file:{tmp_path}/hook&ca-file={tmp_path}/authority.pem&allow-private=yes"
    yield f"webhook+https://localhost:{server.server_address[1]}/?{options}", arrived
    server.shutdown()
    server.server_close()


def test_the_whole_story_and_every_notifier_is_told(tmp_path: Path, key_store, mapping_store, syslog, mail, webhook):
    notifiers = {"syslog": syslog, "mail": mail, "webhook": webhook}
    urls = [url for url, _ in notifiers.values()]
    story = Story(tmp_path / "demo", lambda _step: None, mapping_store, key_store, urls)
    (tmp_path / "demo").mkdir()
    summary = story.tell()
    assert (summary.failed_lookups, summary.restored_from_backup) == (0, True)
    assert summary.reencrypted == summary.imported_mappings >= 1000
    assert summary.encrypt_refused_while_master_down
    for kind in ("rotation.started", "rotation.finished", "backup.made"):
        told = {name: any(kind in text for text in arrived) for name, (_, arrived) in notifiers.items()}
        assert told == dict.fromkeys(notifiers, True), kind
    for secret in story.secrets:
        assert not any(secret in text for _, arrived in notifiers.values() for text in arrived)
    if KEY_STORE != "file":
        assert not list(story.machines["master"].directory.glob("secret*")), "nothing opens it without the key store"
