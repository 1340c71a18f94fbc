"""What release 0.1.0 left, and what must be true of it after every upgrade: tests/data/0.1.0."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sys
import tomllib
from collections import Counter, abc
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from keysvc.crypto.audit import audit_keys
from keysvc.crypto.credentials import CredentialCipher
from keysvc.master import audit_trails
from keysvc.model import AuditTrail, MasterSecret, SecretText
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.loading import Plugins
from keysvc.stores import migrations, sql, sql_database, sql_rows
from keysvc.stores.migrations import statements
from keysvc.testing.deaths import dies_at, places

if TYPE_CHECKING:
    from postgresql_server import PostgreSQLServer

DATA = Path(__file__).parents[1] / "data/0.1.0"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text("utf-8"))
SYSTEM_ID: str = tomllib.loads((DATA / "system/keysvc.toml").read_text("utf-8"))["system_id"]
PASSPHRASE = SecretText(EXPECTED["passphrase"])
APPLICATIONS = ["Adapters", "EDI", "Größen & Maße", "Mainframe", "SAP", "メール"]
ROLES = {"administrator": "administrator", "master": "master", "payroll": "application", "web-01": "server"}
BACKUP = (DATA / "backup.age").read_bytes()


@dataclass(frozen=True)
class Released:
    """A copy of the data, with its own key store; the mapping store is at `url`."""

    folder: Path
    url: str

    @classmethod
    def on_sqlite(cls, folder: Path) -> Released:
        _copy_system(folder)
        return cls(folder, f"sqlite:///{folder}/keysvc.db")

    @classmethod
    def on_postgresql(cls, folder: Path, server: PostgreSQLServer) -> Released:
        _copy_system(folder)
        url = server.new_database()
        server.load(DATA / "postgresql.sql", url.rpartition("/")[2])
        return cls(folder, url)

    def store(self) -> MappingStore:
        return Plugins().mapping_stores.open(self.url, _no_prompt, SYSTEM_ID)

    def key_store(self, name: str = "secret") -> KeyStore:
        return Plugins().key_stores.open(f"file://{self.folder}/{name}", _no_prompt, SYSTEM_ID)

    def prepare(self) -> None:
        with contextlib.closing(self.store()) as store:
            store.prepare()

    def check(self) -> None:
        """Every credential decrypts, the audit is whole, and nothing is missing."""
        with contextlib.closing(self.store()) as store, contextlib.closing(self.key_store()) as key_store:
            check(store, key_store)


def _copy_system(folder: Path) -> None:
    """git keeps no modes: what was private becomes private again."""
    shutil.copytree(DATA / "system", folder)
    for path in (folder / "secret.key", *folder.glob("*/key.pem")):
        path.chmod(0o600)


def check(store: MappingStore, key_store: KeyStore) -> None:
    info = store.info()
    assert info.schema_version == info.newest_schema
    records = store.versions()
    assert [(record.version, record.state.value) for record in records] == [(1, "retiring"), (2, "active")]
    secrets = [MasterSecret(r.version, r.created_at, key_store.unseal(r.version).material) for r in records]
    assert all(record.describes(secret) for record, secret in zip(records, secrets, strict=True))
    ciphers = {secret.version: CredentialCipher(secret, SYSTEM_ID) for secret in secrets}
    bag = ["Adapters", "ftp", None, EXPECTED["bag"]]
    for name, user, external_user, fields in [*EXPECTED["credentials"], bag]:
        application, mapping, row = store.look_up(name, user) or (None, None, None)
        assert application, f"no application {name}"
        assert mapping, f"no mapping of {user} in {name}"
        assert row, f"no credential of {user} in {name}"
        assert external_user in {None, mapping.external_user}
        found = ciphers[row.version].decrypt(application, user, row.ciphertext)
        assert {label: value.reveal() for label, value in found.items()} == fields
    assert len(store.credentials()) == len(EXPECTED["credentials"]) + 1
    assert sorted(application.name for application in store.applications()) == APPLICATIONS
    keys = audit_keys(secrets, SYSTEM_ID)
    sealed = [head.trail for head in store.audit_heads() if head.trail is not AuditTrail.MEMBERS]
    verified = [audit_trails.verify(store, trail, keys) for trail in sealed]  # a master seals the new trail first
    assert len(verified) == len(AuditTrail) - 1
    assert not [problem for each in verified for problem in each.problems]
    assert sum(each.entries for each in verified) > 90
    assert {identity.name: identity.role.value for identity in store.identities()} == ROLES
    assert [identity.name for identity in store.identities() if identity.revoked_at] == ["payroll"]
    system, backup = store.system(), store.backup()
    assert system is not None
    assert system.settings.affiliate_administrators == "Operators;Größen-Team"
    assert backup is not None
    assert backup.versions == (1, 2)
    assert len(store.events(100)) >= 10
    assert len(store.used_tickets()) == 1


def steps() -> list[ModuleType]:
    """The modules of the steps."""
    return [sys.modules[step.__module__] for step in migrations.MIGRATIONS]


def kill_upgrades(new: abc.Callable[[], Released], deaths: int, modules: abc.Sequence[ModuleType]) -> Counter[str]:
    """Kill so many upgrades of new copies, each at a random line that an upgrade passes in `modules` or in what all SQL
    stores share; finish each, and check all that there was. Returns what the dead left, and how often."""
    everywhere = [sql, sql_database, sql_rows, statements, *steps(), *modules]
    passed = places(new().prepare, everywhere)
    each_pass = [(place, time) for place, count in sorted(passed.items()) for time in range(1, count + 1)]
    chosen = random.Random(1).choices(each_pass, k=deaths)
    left: Counter[str] = Counter()
    for place, time in chosen:
        released = new()
        assert dies_at(place, time, released.prepare, everywhere), f"it did not pass {place}"
        with contextlib.closing(released.store()) as store:
            left[f"schema {store.info().schema_version}"] += 1
        released.prepare()
        released.check()
    print(f"{deaths} deaths at {len(set(chosen))} of {len(each_pass)} passes of lines; what they left: {dict(left)}")
    return left


def _no_prompt(what: str) -> object:
    raise AssertionError(f"nobody may be asked for {what}")
