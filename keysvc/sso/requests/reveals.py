"""Requests about one field of a credential: is it there, and what does it say? Who is shown it is always recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from keysvc.errors import NotFound
from keysvc.model import AuditTrail, SecretText
from keysvc.sso import lookup_audit
from keysvc.sso.config_store import require_config_store
from keysvc.sso.entries import of_user
from keysvc.sso.permissions import Right
from keysvc.sso.requests.config_store import BagName
from keysvc.sso.requests.request import ApplicationName, Request, User
from keysvc.sso.work import Work

REVEALED = "credential.revealed"
Label = Annotated[str, Meta(min_length=1, max_length=256, description="of the field", examples=["Password"])]


@dataclass(frozen=True, slots=True)
class CredentialState:
    """Whether a credential is stored, and under which version of the master secret. It shows no field."""

    stored: bool
    version: int | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class RevealedField:
    """One field of a credential or of a property bag, in plain."""

    label: str
    value: SecretText


class GetCredentialState(Request[CredentialState], frozen=True):
    """Whether there is one; nothing is decrypted, and no lookup is recorded."""

    application: ApplicationName
    user: User

    needs = (Right.SEE_MAPPINGS,)

    def act(self, work: Work) -> CredentialState:
        row = work.found.credential
        return CredentialState(False) if row is None else CredentialState(True, row.version, row.revision)


class RevealField(Request[RevealedField], frozen=True):
    """One field, for a person who reads it. The audit has it as `credential.revealed`, whatever its levels are; nothing
    is answered before."""

    application: ApplicationName
    user: User
    label: Label

    needs = (Right.LOOK_UP,)

    def act(self, work: Work) -> RevealedField:
        return _reveal(work, self.application, self.user, self.label)


class RevealProperty(Request[RevealedField], frozen=True):
    """One property of a bag, for a person who reads it; recorded as RevealField is."""

    application: ApplicationName
    name: BagName
    label: Label

    needs = (Right.SEE_CONFIG_INFO,)

    def act(self, work: Work) -> RevealedField:
        require_config_store(work.found.definition)
        return _reveal(work, self.application, self.name, self.label)


def _reveal(work: Work, application: str, user: str, label: str) -> RevealedField:
    services, actor = work.services, work.caller.name
    with services.lookups.of(actor, application, user, lookup_audit.FROM_STORE):
        services.require_enabled()
        found, _ = services.stored.of_user(application, user)
        if label not in found.fields:
            known = ", ".join(found.fields)
            raise NotFound(f"the credential of {user} for {application} has no field {label!r}; it has: {known}")
    entry = of_user(actor, REVEALED, application, user, {"field": label}, trail=AuditTrail.MEMBERS)
    work.commit([], entry)
    return RevealedField(label, found.fields[label])
