"""rsyslog, as a process of its own without privileges, that writes each field of what it receives as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections import abc
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme

from keysvc.cli.demo.processes import free_port
from keysvc.plugin import Event, Notifier
from keysvc.plugin.loading import Plugins

SYSTEM_ID = "5" * 32
CLIENT = "keysvc.example.com"
CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" sysSock.use="off")
template(name="fields" type="list" option.jsonf="on") {{
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  property(outname="version" name="protocol-version" format="jsonf")
  property(outname="at" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="hostname" name="hostname" format="jsonf")
  property(outname="application" name="app-name" format="jsonf")
  property(outname="process" name="procid" format="jsonf")
  property(outname="message_id" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
  property(outname="raw" name="rawmsg" format="jsonf")
}}
input(type="imudp" address="127.0.0.1" port="{udp}")
input(type="imtcp" address="127.0.0.1" port="{tcp}")
input(type="imtcp" address="127.0.0.1" port="{tls}" streamDriver.name="gtls" streamDriver.mode="1"
  streamDriver.authMode="anon" streamDriver.CAFile="{folder}/authority.pem"
  streamDriver.certFile="{folder}/server.pem" streamDriver.keyFile="{folder}/server.key")
input(type="imtcp" address="127.0.0.1" port="{mutual_tls}" streamDriver.name="gtls" streamDriver.mode="1"
  streamDriver.authMode="x509/name" permittedPeer=["{client}"] streamDriver.CAFile="{folder}/authority.pem"
  streamDriver.certFile="{folder}/server.pem" streamDriver.keyFile="{folder}/server.key")
input(type="imuxsock" socket="{folder}/log" useSpecialParser="off" ignoreTimestamp="off" useSysTimeStamp="off"
  rateLimit.interval="0")
action(type="omfile" file="{folder}/received" template="fields")
"""


def eventually(true: abc.Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@dataclass
class Rsyslog:
    """Receives on every transport. `received` waits until all that was accepted so far is written."""

    folder: Path
    program: str
    authority: trustme.CA
    host: str = "localhost"
    ports: dict[str, int] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _marks: int = 0
    _forgotten: int = 0

    def start(self) -> None:
        self.ports = self.ports or {name: free_port() for name in ("udp", "tcp", "tls", "mutual_tls")}
        certificate = self.authority.issue_cert(self.host)
        self.authority.cert_pem.write_to_path(str(self.folder / "authority.pem"))
        certificate.private_key_pem.write_to_path(str(self.folder / "server.key"))
        (self.folder / "server.pem").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
        (self.folder / "log").unlink(missing_ok=True)
        configuration = self.folder / "rsyslog.conf"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, client=CLIENT, **self.ports), "utf-8")
        with (self.folder / "complaints").open("ab") as complaints:
            self._process = subprocess.Popen(
                [self.program, "-n", "-f", configuration, "-i", self.folder / "pid"],
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                **_without_privileges(self.folder),
            )
        eventually(self._listens)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed and nobody says goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, transport: str, **options: object) -> str:
        if transport == "unix":
            return f"syslog:{self.folder}/log"
        if transport.endswith("tls"):
            options = {"ca-file": self.folder / "authority.pem", **options}
        scheme = f"syslog+{transport.removeprefix('mutual_')}"
        return f"{scheme}://localhost:{self.ports[transport]}?{urlencode(options)}".removesuffix("?")

    def open(self, transport: str, **options: object) -> Notifier:
        return Plugins().notifiers.open(self.url(transport, **options), pytest.fail, SYSTEM_ID)

    def received(self, transport: str = "tcp") -> list[dict[str, Any]]:
        """A message over the same transport is written behind those that were sent before it."""
        self._marks += 1
        mark = f"mark-{self._marks}-end"
        self.open(transport).deliver(Event(mark, "mark", datetime.now(UTC), {}))
        eventually(lambda: any(mark in line["data"] for line in self._lines()))
        return [line for line in self._lines()[self._forgotten :] if line["message_id"] != "mark"]

    def forget(self) -> None:
        """What was received so far was another test's."""
        for transport in ("unix", "udp", "tcp", "tls"):
            self.received(transport)
        self._forgotten = len(self._lines())

    def _lines(self) -> list[dict[str, Any]]:
        try:
            written = (self.folder / "received").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [line for line in map(json.loads, written) if line["application"] == "keysvc"]

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "complaints").read_text()
        try:
            for transport in ("tcp", "tls", "mutual_tls"):
                socket.create_connection(("127.0.0.1", self.ports[transport]), 5).close()
        except OSError:
            return False
        return (self.folder / "log").exists()


def _without_privileges(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@contextlib.contextmanager
def running(authority: trustme.CA) -> abc.Iterator[Rsyslog]:
    program = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    tls = [found for places in ("lib*", "lib/*") for found in Path("/usr").glob(f"{places}/rsyslog/lmnsd_gtls.so")]
    if program is None or not tls:
        reason = "rsyslog is not installed: apt-get install rsyslog rsyslog-gnutls"
        assert "CI" not in os.environ, reason
        pytest.skip(reason)
    # Not tmp_path: its parents are closed to others, and a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="rsyslog") as folder:
        made = Rsyslog(Path(folder), program, authority)
        try:
            made.start()
            yield made
        finally:
            made.kill()


@pytest.fixture(scope="session")
def lasting_rsyslog(authority: trustme.CA) -> abc.Iterator[Rsyslog]:
    with running(authority) as made:
        yield made


@pytest.fixture
def rsyslog(lasting_rsyslog: Rsyslog) -> Rsyslog:
    """It outlives the test."""
    lasting_rsyslog.forget()
    return lasting_rsyslog


@pytest.fixture
def mortal_rsyslog(authority: trustme.CA) -> abc.Iterator[Rsyslog]:
    """One that the test may kill."""
    with running(authority) as made:
        yield made


@pytest.fixture
def client_certificate(authority: trustme.CA, tmp_path: Path) -> abc.Callable[..., Path]:
    """A PEM file with a certificate for the name, and its key."""

    def client_certificate(name: str = CLIENT) -> Path:
        path = tmp_path / "client.pem"
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    return client_certificate
