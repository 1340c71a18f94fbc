"""A configured system in a folder, with as many credentials as a benchmark wants."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import abc
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from keysvc.crypto import certificates, transport
from keysvc.crypto.credentials import CredentialCipher
from keysvc.master import lifecycle
from keysvc.master.service import MasterSecretServer
from keysvc.model import (
    Announcement,
    Application,
    Field,
    Flags,
    Identity,
    MasterSecret,
    Role,
    SecretBytes,
    SecretText,
    VersionId,
    utc_now,
)
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.loading import Plugins
from keysvc.sso import SSO
from keysvc.sso.administration import Administration

SYSTEM_ID = "b" * 32
POLL_INTERVAL = timedelta(seconds=30)
LEASE_TTL = timedelta(seconds=10)
FIELDS = (Field("User Id", masked=False), Field("Password", masked=True))
PASSWORD = {"Password": SecretText("correct horse battery")}


@dataclass(frozen=True, slots=True)
class System:
    """File key store, SQLite or another mapping store; version 1 is active."""

    folder: Path
    authority: certificates.KeyPair
    mapping_store: str
    plugins: Plugins

    @classmethod
    def configured(cls, folder: Path, mapping_store: str = "") -> System:
        """In an empty folder."""
        folder.mkdir(exist_ok=True)
        authority = certificates.create_authority(SYSTEM_ID, now=utc_now())
        made = cls(folder, authority, mapping_store or f"sqlite:///{folder}/keysvc.db", Plugins())
        store = made.store()
        store.prepare()
        administrator = Identity("administrator", Role.ADMINISTRATOR, "01", utc_now())
        lifecycle.configure(store, made.key_store(), SYSTEM_ID, administrator)
        store.close()
        return made

    @property
    def database(self) -> Path:
        return self.folder / "keysvc.db"

    def store(self) -> MappingStore:
        return self.plugins.mapping_stores.open(self.mapping_store, nobody, SYSTEM_ID)

    def key_store(self) -> KeyStore:
        return self.plugins.key_stores.open(f"file://{self.folder}/secret", nobody, SYSTEM_ID)

    def secret(self, version: int) -> MasterSecret:
        return self.key_store().unseal(version)

    def master(self) -> MasterSecretServer:
        """Not started."""
        store, keys = self.store(), self.key_store()
        return MasterSecretServer(store, keys, self.authority, poll_interval=POLL_INTERVAL, lease_ttl=LEASE_TTL)

    @contextlib.contextmanager
    def running_master(self) -> abc.Iterator[MasterSecretServer]:
        """Started, in this process."""
        master = self.master()
        master.start(print)
        try:
            yield master
        finally:
            master.stop()

    def sso(self, master: MasterSecretServer, name: str = "web-01") -> SSO:
        """An SSO server in this process."""
        return SSO(self.store(), InProcess(master, name), name)

    def add_applications(self, names: abc.Iterable[str]) -> list[Application]:
        administration = Administration(self.store(), "administrator")
        for name in names:
            administration.create_application(name, FIELDS, flags=Flags(enabled=True))
        return list(administration.store.applications())

    def rows(self, applications: abc.Sequence[Application], count: int, version: int = 1) -> abc.Iterator[Row]:
        """`count` credentials, shared out among the applications in order."""
        cipher = CredentialCipher(self.secret(version), SYSTEM_ID)
        plain = b'{"Password":"correct horse battery"}'
        each = -(-count // len(applications))
        for number in range(count):
            application, user = applications[number // each], f"user-{number % each:07}"
            ciphertext = cipher.encrypt_plain(application, user, plain)
            yield Row(application.name, user, cipher.version, ciphertext)

    def fill(self, applications: abc.Sequence[Application], count: int) -> None:
        """Write the rows past keysvc: that is not what is measured."""
        rows = list(self.rows(applications, count))
        connection = sqlite3.connect(self.database)
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            connection.executemany(
                "INSERT INTO mappings (application, user, external_user, enabled, revision) VALUES (?, ?, ?, 1, 1)",
                ((row.application, row.user, row.user.upper()) for row in rows),
            )
            connection.executemany(
                "INSERT INTO credentials (application, user, version, ciphertext, revision) VALUES (?, ?, ?, ?, 1)",
                ((row.application, row.user, row.version, row.ciphertext) for row in rows),
            )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()


@dataclass(frozen=True, slots=True)
class InProcess:
    """What an SSO server asks of its master secret server, without HTTP between."""

    master: MasterSecretServer
    name: str

    def poll(self, versions_held: tuple[VersionId, ...], etag: str | None, *, wait: float = 0.0) -> Announcement | None:  # noqa: ARG002
        found = self.master.poll(self.name, "1", self.master.announced().numbers_of(versions_held))
        return None if found.etag == etag else found

    def fetch(self, version: int) -> SecretBytes:
        receiver = transport.ReceiverKey.generate(transport.CLASSIC)
        sealed = self.master.fetch(version, receiver.kem, receiver.public, self.name, Role.SERVER)
        return receiver.open(sealed, transport.fetch_context(SYSTEM_ID, version, self.name))

    def leave(self) -> None:
        self.master.leave(self.name, "1")

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Row:
    """A credential as it is stored."""

    application: str
    user: str
    version: int
    ciphertext: bytes


def nobody(what: str) -> SecretText:
    raise AssertionError(f"nobody may be asked for {what}")
