"""Whoever attacks a running system: with certificates of any age and name, on connections that it keeps."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections import abc
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sites import Site
from systems import eventually

from keysvc.cli.demo.processes import Machine, Process, free_port
from keysvc.crypto import certificates
from keysvc.installation import assembly, config as configuration
from keysvc.model import Identity, Role, host_name, utc_now
from keysvc.plugin.changes import UNGUARDED, PutIdentity
from keysvc.plugin.interfaces import MappingStore
from keysvc.web.tls.identity_files import IdentityFiles

OLD = timedelta(days=300)
"""The age from which on a certificate is in the last third of its life."""


@dataclass(frozen=True)
class Answered:
    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class Kept:
    """One connection, which is kept. `context` shows a certificate or none."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        context.check_hostname = False
        self._connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, context=context, timeout=60)

    def ask(self, method: str, path: str, content: object = None) -> Answered:
        body = None if content is None else json.dumps(content)
        self._connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = self._connection.getresponse()
        read = answer.read()
        return Answered(answer.status, json.loads(read) if read else {})

    def renew(self, name: str) -> tuple[Answered, certificates.KeyPair | None]:
        request, key = certificates.request(name)
        answer = self.ask("POST", "/v1/renewal", {"request": request.decode("ascii")})
        if answer.status != 200:
            return answer, None
        return answer, certificates.KeyPair(answer.body["certificate"].encode("ascii"), key)

    @property
    def socket(self) -> ssl.SSLSocket:
        found = self._connection.sock
        assert isinstance(found, ssl.SSLSocket)
        return found

    def close(self) -> None:
        self._connection.close()


class Attacked(Site):
    """A site whose certificate authority also signs what a test needs."""

    @property
    def config(self) -> configuration.Config:
        return configuration.load(self.machine.config)

    @property
    def url(self) -> str:
        return self.config.own_url

    @contextlib.contextmanager
    def store(self) -> abc.Iterator[MappingStore]:
        with contextlib.closing(assembly.open_mapping_store(self.config)) as store:
            yield store

    def enrolled(
        self, name: str, role: Role, *, age: timedelta = OLD, ends_in: timedelta | None = None
    ) -> IdentityFiles:
        """Somebody who was enrolled so long ago, before the master secret server began."""
        authority = assembly.authority(self.config)
        issued = utc_now() - age
        before, certificates.LIFETIME = certificates.LIFETIME, (ends_in + age) if ends_in else certificates.LIFETIME
        try:
            system_id = self.config.system_id
            hosts = [host_name(role, system_id)]
            pair = certificates.issue(authority, name, role, now=issued, hosts=hosts, system_id=system_id)
        finally:
            certificates.LIFETIME = before
        files = IdentityFiles(self.folder / f"identity-{name}")
        files.write(pair.certificate, pair.key, authority.certificate)
        serial, ends = certificates.serial(pair.certificate), certificates.not_after(pair.certificate)
        with self.store() as store:
            store.commit([PutIdentity(Identity(name, role, serial, issued, expires_at=ends))], UNGUARDED)
        return files

    def kept(self, files: IdentityFiles) -> Kept:
        return Kept(self.url, files.client_context())

    def with_pair(self, pair: certificates.KeyPair, folder: Path) -> IdentityFiles:
        files = IdentityFiles(folder)
        files.write(pair.certificate, pair.key, assembly.authority(self.config).certificate)
        return files

    def stored(self, name: str) -> Identity:
        with self.store() as store:
            found = store.identity(name)
        assert found is not None
        return found

    def agent(self, name: str = "web-01") -> tuple[Process, str]:
        """An SSO server as a process of its own, which was enrolled before the master secret server began."""
        machine = Machine(self.folder / name, self.folder / "logs")
        machine.directory.mkdir()
        at = f"127.0.0.1:{free_port()}"
        settings: dict[str, str | tuple[str, ...]] = {
            "system_id": self.config.system_id,
            "mapping_store": self.config.mapping_store,
            "master": self.url,
            "identity": str(self.folder / f"identity-{name}"),
            "agent": at,
        }
        machine.config.write_text(configuration.dump(settings))
        process = machine.start("agent")
        self.running.append(process)
        return process, f"https://{at}"


def when_there(url: str, files: IdentityFiles) -> Kept:
    """A connection, as soon as somebody is there."""
    found: list[Kept] = []

    def tried() -> bool:
        kept = Kept(url, files.client_context())
        try:
            kept.ask("GET", "/v1/status")
        except OSError:
            kept.close()
            return False
        found.append(kept)
        return True

    eventually(tried)
    return found[0]
