"""Many credentials at once, and what events a master tells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from systems import System

from keysvc.crypto.credentials import CredentialCipher
from keysvc.installation import migration
from keysvc.master.delivery import Subscription
from keysvc.model import EncryptedCredential, Event, Guard, Mapping, NameRule, SecretText
from keysvc.plugin.changes import UNGUARDED, PutCredential, PutMapping, PutSystem
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.mapping_store_batches import NAMES, external, new_credentials, new_mappings, sealed


def fill(system: System, count: int, *, version: int = 1) -> None:
    """So many credentials of SAP under that version, the password of each its user's name."""
    system.with_users()
    store = system.store()
    application = store.application("SAP")
    cipher = CredentialCipher(system.key_store().unseal(version), system.system_id)
    names = [f"user-{version}-{number:05}" for number in range(count)]
    store.commit([PutMapping(Mapping("SAP", name, name.upper(), enabled=True)) for name in names], Guard())
    rows = [(name, cipher.encrypt(application, name, {"Password": SecretText(name)})) for name in names]
    puts = [PutCredential(EncryptedCredential("SAP", name, version, ciphertext)) for name, ciphertext in rows]
    store.commit(puts, Guard())


@dataclass
class Told:
    """A notifier that remembers."""

    events: list[Event] = field(default_factory=list)

    @property
    def subscriptions(self) -> list[Subscription]:
        return [Subscription("told", self)]

    def kinds(self, prefix: str = "rotation.") -> list[str]:
        return [event.kind for event in self.events if event.kind.startswith(prefix)]

    def why(self, kind: str) -> str:
        return next((str(event.detail["why"]) for event in self.events if event.kind == kind), "")

    def deliver(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


def move_twins(system: System, target: MappingStore) -> None:
    """Move names that differ only in what a code page folds to another store; they stay apart. So do those that differ
    in case or normalisation alone, in a system whose names are exact."""
    system.with_users()
    source = system.store()
    record = source.system()
    assert record is not None
    exact = replace(record, settings=replace(record.settings, names=NameRule.EXACT))
    source.commit([PutSystem(exact)], UNGUARDED)
    source.commit(new_mappings(), UNGUARDED)
    source.commit(new_credentials(), UNGUARDED)
    migration.migrate(source, target, "administrator")
    assert {m.user: m.external_user for m in target.mappings("SAP")} == {name: external(name) for name in NAMES}
    assert {c.user: c.ciphertext for c in target.credentials()} == {name: sealed(name) for name in NAMES}
