"""Many credentials at once, and what events a master tells."""

from __future__ import annotations

from dataclasses import dataclass, field

from systems import System

from keysvc.crypto.credentials import CredentialCipher
from keysvc.master.delivery import Subscription
from keysvc.model import EncryptedCredential, Event, Guard, Mapping, SecretText
from keysvc.plugin.changes import PutCredential, PutMapping


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
