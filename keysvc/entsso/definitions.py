"""What a file of Enterprise SSO says. None is what it leaves out: an update changes nothing there."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field

from keysvc.model import ApplicationType, Field

FLAGS: abc.Mapping[str, str] = {
    "enableApp": "enabled",
    "hostInitiatedSSO": "host_initiated",
    "windowsInitiatedSSO": "windows_initiated",
    "validatePassword": "validate_password",
    "disableCredCache": "disable_credential_cache",
    "allowTickets": "allow_tickets",
    "validateTickets": "validate_tickets",
    "timeoutTickets": "timeout_tickets",
    "allowLocalAccounts": "allow_local_accounts",
    "adminAccountSame": "administrators_same",
    "directPasswordSync": "direct_password_sync",
}
"""Enterprise SSO's names of the flags in `keysvc.model.Flags`."""
TICKET_TIMEOUT = "appTicketTimeout"
"""An element, or among the flags: the application's own ticket time-out in minutes, 0 for the system's."""
TEXT_SETTINGS: abc.Mapping[str, str] = {
    "ssoAdminAccount": "administrators",
    "ssoAffiliateAdminAccount": "affiliate_administrators",
    "secretServer": "secret_server",
}
NUMBER_SETTINGS: abc.Mapping[str, str] = {
    "auditDeletedApps": "audit_deleted_applications",
    "auditDeletedMappings": "audit_deleted_mappings",
    "auditCredentialLookups": "audit_credential_lookups",
    "ticketTimeout": "ticket_timeout_minutes",
    "credCacheTimeout": "credential_cache_minutes",
}
"""Enterprise SSO's names of what `keysvc.model.Settings` has."""
SWITCH: abc.Mapping[str, bool] = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass(frozen=True, slots=True)
class ApplicationDefinition:
    """An affiliate application. `flags` holds those that the file gives, by their names in `keysvc.model.Flags`.
    With `has_windows_account`, that account is the one in `user_accounts`."""

    name: str
    line: int
    description: str | None = None
    contact: str | None = None
    user_accounts: tuple[str, ...] | None = None
    administrator_accounts: tuple[str, ...] | None = None
    fields: tuple[Field, ...] | None = None
    flags: abc.Mapping[str, bool] = field(default_factory=dict)
    group: bool | None = None
    config_store: bool | None = None
    has_windows_account: bool = False
    ticket_timeout_minutes: int | None = None

    @property
    def type(self) -> ApplicationType:
        """The type of a new application. What marks a host group is its one Windows account."""
        if self.config_store:
            return ApplicationType.CONFIG_STORE
        host_initiated = self.group and self.flags.get("host_initiated") and not self.user_accounts
        if self.has_windows_account or host_initiated:
            return ApplicationType.HOST_GROUP
        return ApplicationType.GROUP if self.group else ApplicationType.INDIVIDUAL

    def contradicts(self, known: ApplicationType) -> bool:
        """Whether the file says of an existing application that it is of another type. Silence is no contradiction."""
        if self.config_store is not None and self.config_store != (known is ApplicationType.CONFIG_STORE):
            return True
        if known is ApplicationType.HOST_GROUP:
            return bool(self.user_accounts) and not self.has_windows_account
        return self.has_windows_account or (self.group is not None and self.group != (known is ApplicationType.GROUP))


@dataclass(frozen=True, slots=True)
class MappingDefinition:
    r"""One mapping; `user` is `DOMAIN\user`, None only for an external user of a host group."""

    application: str
    user: str | None
    external_user: str | None
    line: int


@dataclass(frozen=True, slots=True)
class SettingsDefinition:
    """The global info: `given` holds what the file gives, by its names in `keysvc.model.Settings`."""

    given: abc.Mapping[str, str | int]
    line: int
