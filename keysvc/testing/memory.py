"""For the tests of applications: a whole system in this process, on SQLite in memory and a file key store in a
temporary folder. The real code, no mock."""

from __future__ import annotations

import tempfile
from collections import abc
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from keysvc.crypto import certificates, transport
from keysvc.master import lifecycle
from keysvc.master.service import MasterSecretServer
from keysvc.model import Announcement, Field, Flags, Identity, Role, SecretBytes, VersionId, utc_now
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.loading import Plugins
from keysvc.sso import SSO
from keysvc.sso.administration import Administration

SYSTEM_ID = "0" * 32
NAME = "memory"


class InProcessMaster:
    """What an SSO server asks of the master secret server, without a network between."""

    def __init__(self, master: MasterSecretServer, name: str = NAME) -> None:
        self._master, self._name = master, name

    def poll(self, versions_held: tuple[VersionId, ...], etag: str | None, *, wait: float = 0.0) -> Announcement | None:
        """As over HTTP."""
        held = self._master.announced().numbers_of(versions_held)
        found = self._master.poll(self._name, "1", held)
        return None if found.etag == etag else found

    def fetch(self, version: int) -> SecretBytes:
        """Sealed and opened, as over HTTP."""
        key = transport.ReceiverKey.generate(transport.KEMS[0])
        sealed = self._master.fetch(version, key.kem, key.public, self._name, Role.SERVER)
        return key.open(sealed, transport.fetch_context(self._master.system_id, version, self._name))

    def leave(self) -> None:
        """Say goodbye."""
        self._master.leave(self._name, "1")

    def close(self) -> None:
        """Nothing is held."""


class _MemorySSO(SSO):
    def __init__(
        self, store: MappingStore, master: MasterSecretServer, folder: tempfile.TemporaryDirectory[str]
    ) -> None:
        self._ending = (master, folder)
        super().__init__(store, InProcessMaster(master), NAME, role=Role.ADMINISTRATOR)

    def close(self) -> None:
        master, folder = self._ending
        self._poller.stop()
        master.stop()
        super().close()
        folder.cleanup()


def memory_sso(credentials: abc.Mapping[str, abc.Mapping[str, abc.Mapping[str, str]]]) -> SSO:
    """An SSO server that knows `credentials`: application → user → label → value. Use it as a context manager.

    Each user is mapped to an external user of the same name; applications and mappings are enabled.

        with memory_sso({"SAP": {"alice": {"password": "x"}}}) as sso: ...
    """
    folder = tempfile.TemporaryDirectory(prefix="keysvc-memory-")
    plugins = Plugins(only=())
    store = plugins.mapping_stores.open("sqlite://", _nobody, SYSTEM_ID)
    key_store: KeyStore = plugins.key_stores.open(f"file://{Path(folder.name) / 'secret'}", _nobody, SYSTEM_ID)
    store.prepare()
    lifecycle.configure(store, key_store, SYSTEM_ID, Identity(NAME, Role.ADMINISTRATOR, "0", utc_now()))
    authority = certificates.create_authority(SYSTEM_ID, now=utc_now())
    master = MasterSecretServer(
        store, key_store, authority, poll_interval=timedelta(seconds=30), lease_ttl=timedelta(minutes=5)
    )
    master.start(lambda _error: None)
    sso = _MemorySSO(store, master, folder)
    administration = Administration(store, NAME)
    for name, users in credentials.items():
        labels = dict.fromkeys(label for fields in users.values() for label in fields)
        fields = [Field("User Id", masked=False), *(Field(label, masked=True) for label in labels)]
        administration.create_application(name, fields, flags=Flags(enabled=True))
        for user, values in users.items():
            sso.set_credential(name, values, user=user, external_user=user)
    return sso


def _nobody(what: str) -> NoReturn:
    raise AssertionError(f"nobody can be asked for the {what}")
