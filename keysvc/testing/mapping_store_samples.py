"""What the conformance suite of mapping stores writes into them."""

from __future__ import annotations

import hashlib
from collections import abc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from keysvc.model import (
    Application,
    ApplicationType,
    EncryptedCredential,
    Field,
    Mapping,
    VersionRecord,
    VersionState,
)
from keysvc.plugin.changes import UNGUARDED, Change, PutCredential, PutMapping, PutVersion
from keysvc.plugin.interfaces import MappingStore

AT = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OpenStore = abc.Callable[[], MappingStore]


def an_application(name: str = "SAP", **changes: object) -> Application:
    """An application with two fields."""
    fields = (Field("user", masked=False), Field("password", masked=True))
    plain = Application(name, hashlib.sha256(name.encode()).hexdigest()[:32], ApplicationType.INDIVIDUAL, fields)
    return replace(plain, **changes)  # type: ignore[arg-type]


def a_version(version: int, state: VersionState) -> VersionRecord:
    """A version whose check value follows from its number."""
    return VersionRecord(version, state, AT, f"{version:016x}")


def a_credential(user: str = "alice", version: int = 1, ciphertext: bytes = b"\x01sealed") -> EncryptedCredential:
    """A credential of SAP."""
    return EncryptedCredential("SAP", user, version, ciphertext)


def users(*names: str, application: str = "SAP") -> list[Change]:
    """A mapping and a credential under version 1 for each name."""
    changes: list[Change] = []
    for name in names:
        changes.append(PutMapping(Mapping(application, name, f"{name[:200]}@sap")))
        changes.append(PutCredential(EncryptedCredential(application, name, 1, name.encode("utf-8", "replace"))))
    return changes


def activate(store: MappingStore, version: int, *, instead_of: int, also: abc.Sequence[Change] = ()) -> None:
    """What the master secret server commits when a version takes over."""
    retire = PutVersion(a_version(instead_of, VersionState.RETIRING))
    store.commit([PutVersion(a_version(version, VersionState.ACTIVE)), retire, *also], UNGUARDED)
