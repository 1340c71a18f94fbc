"""Affiliate applications, mappings and credentials."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from keysvc.model import names

MAXIMUM_FIELDS = 1024
"""Of an application, the external user id included. A config store has a field for each setting."""


class ApplicationType(StrEnum):
    """The types of affiliate application."""

    INDIVIDUAL = "individual"
    GROUP = "group"
    HOST_GROUP = "host-group"
    CONFIG_STORE = "config-store"


@dataclass(frozen=True, slots=True)
class Field:
    """A credential field. Ordinal 0 is the external user id, kept in the mapping; the rest are encrypted.
    A masked field is hidden when typed and shown only on request."""

    label: str
    masked: bool


@dataclass(frozen=True, slots=True)
class Flags:
    """What an affiliate application allows, with Enterprise SSO's defaults."""

    enabled: bool = False
    host_initiated: bool = False
    windows_initiated: bool = True
    validate_password: bool = True
    disable_credential_cache: bool = False
    allow_tickets: bool = False
    validate_tickets: bool = True
    timeout_tickets: bool = True
    allow_local_accounts: bool = False
    administrators_same: bool = False
    direct_password_sync: bool = False


@dataclass(frozen=True, slots=True)
class Application:
    """An affiliate application: a back-end system and the fields that a credential for it has.

    `application_id` (32 hex digits, random) is part of its key derivation, so that a row of a deleted application does
    not decrypt in a new one of the same name. `name`, `type`, `fields` and `application_id` never change.
    `ticket_timeout_minutes` None takes the system's.
    """

    name: str
    application_id: str
    type: ApplicationType
    fields: tuple[Field, ...]
    flags: Flags = Flags()
    description: str = ""
    contact: str = ""
    user_accounts: tuple[str, ...] = ()
    administrator_accounts: tuple[str, ...] = ()
    ticket_timeout_minutes: int | None = None
    revision: int = 0

    @property
    def host_initiated(self) -> bool:
        """Whether it may be asked by external user. A host group can be asked in no other way."""
        return self.flags.host_initiated or self.type is ApplicationType.HOST_GROUP

    @property
    def host_account(self) -> str | None:
        """Of a host group, the one account that every external user of it stands for."""
        return self.user_accounts[0] if self.type is ApplicationType.HOST_GROUP and self.user_accounts else None

    def takes(self, account: str) -> bool:
        """Whether it allows an account of one machine, if `account` is one."""
        return self.flags.allow_local_accounts or not is_local(account)


def is_local(account: str) -> bool:
    r"""Whether a Windows account is known on one machine alone: `.\name`, `BUILTIN\name`, or of this machine. A name
    without a domain is no Windows account, and everywhere the same."""
    domain, separator, _name = account.partition("\\")
    return bool(separator) and names.key(domain) in {".", "builtin", names.key(platform.node().partition(".")[0])}


@dataclass(frozen=True, slots=True)
class Mapping:
    """One user (or group, or property bag) of one application, with the user id that it has there. In a host group it
    is of an external user, which `user` repeats."""

    application: str
    user: str
    external_user: str
    enabled: bool = False
    revision: int = 0


def check_new_mapping(application: Application, user: str, external_user: str, known: Mapping | None) -> None:
    """Raise InvalidInput when a mapping would bring in a name that no new name may be. `known` is the mapping that is
    there: its own names stay good."""
    if known is None and application.type in {ApplicationType.INDIVIDUAL, ApplicationType.GROUP}:
        names.check_account("user", user)
    elif known is None:
        names.check("user", user)
    if known is None or external_user != known.external_user:
        names.check("external user", external_user)


@dataclass(frozen=True, slots=True, order=True)
class CredentialKey:
    """Where a credential is; ordered as the mapping store pages through them."""

    application: str
    user: str


@dataclass(frozen=True, slots=True)
class EncryptedCredential:
    """A credential as stored: `ciphertext` as docs/formats.md lays it out, under `version` of the master secret."""

    application: str
    user: str
    version: int
    ciphertext: bytes = field(repr=False)
    revision: int = 0

    @property
    def key(self) -> CredentialKey:
        """Its place."""
        return CredentialKey(self.application, self.user)


@dataclass(frozen=True, slots=True)
class UsedTicket:
    """A ticket that was redeemed; remembered until `expires_at`, when no application takes it any more."""

    ticket_id: str
    expires_at: datetime
