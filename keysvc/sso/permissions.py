"""The four roles, as Enterprise SSO has them, and what each may do: one table, which is enforced, tested and printed.

docs/reference/roles.md is made from it. `keysvc.sso.authorization` says who has which role.
"""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keysvc.model import Application, Role, Settings, accounts_in, names


class SSORole(StrEnum):
    """Somebody may have several. The last two are of one application each."""

    SSO_ADMINISTRATOR = "sso-administrator"
    AFFILIATE_ADMINISTRATOR = "affiliate-administrator"
    APPLICATION_ADMINISTRATOR = "application-administrator"
    APPLICATION_USER = "application-user"


class Scope(StrEnum):
    """How far a right goes: `own` is the mapping and the credential of whoever asks."""

    NO = "–"
    OWN = "own"
    YES = "yes"


class Right(StrEnum):
    """An operation of the table."""

    MASTER_SECRET = "master-secret"  # noqa: S105  a name
    CREATE_APPLICATION = "application.create"
    CHANGE_APPLICATION = "application.change"
    SET_TICKETS = "application.set-tickets"
    NAME_ADMINISTRATORS = "application.name-administrators"
    NAME_USERS = "application.name-users"
    DELETE_APPLICATION = "application.delete"
    SEE_APPLICATION = "application.see"
    SEE_MAPPINGS = "mapping.see"
    CHANGE_MAPPINGS = "mapping.change"
    LOOK_UP = "credential.look-up"
    LOOK_UP_BY_EXTERNAL_USER = "credential.look-up-by-external-user"
    CHANGE_CREDENTIALS = "credential.change"
    ISSUE_TICKETS = "ticket.issue"
    REDEEM_TICKETS = "ticket.redeem"
    SEE_CONFIG_INFO = "config.see"
    CHANGE_CONFIG_INFO = "config.change"
    PURGE_CACHE = "cache.purge"
    CHANGE_SETTINGS = "settings.change"
    SEE_AUDIT = "audit.see"


@dataclass(frozen=True, slots=True)
class Row:
    """What a right is, and how far it goes for each role, in the order of `SSORole`."""

    meaning: str
    reaches: tuple[Scope, Scope, Scope, Scope]

    def of(self, role: SSORole) -> Scope:
        """How far it goes for one role."""
        return self.reaches[_POSITIONS[role]]


_POSITIONS: abc.Mapping[SSORole, int] = {role: position for position, role in enumerate(SSORole)}
_NO, _OWN, _YES = Scope.NO, Scope.OWN, Scope.YES
_SSO_ONLY: Final = (_YES, _NO, _NO, _NO)
_AFFILIATE: Final = (_YES, _YES, _NO, _NO)
_ADMINISTRATORS: Final = (_YES, _YES, _YES, _NO)
_AND_OWN: Final = (_YES, _YES, _YES, _OWN)
_ALL: Final = (_YES, _YES, _YES, _YES)

TABLE: abc.Mapping[Right, Row] = {
    Right.MASTER_SECRET: Row("rotate, back up, destroy the master secret; enrol and revoke", _SSO_ONLY),
    Right.CREATE_APPLICATION: Row("create an application", _AFFILIATE),
    Right.CHANGE_APPLICATION: Row("enable, disable and describe an application, change its flags", _AFFILIATE),
    Right.SET_TICKETS: Row("say whether an application takes tickets, and how long they are good", _SSO_ONLY),
    Right.NAME_ADMINISTRATORS: Row("name the administrators of an application", _AFFILIATE),
    Right.NAME_USERS: Row("name the users of an application", _ADMINISTRATORS),
    Right.DELETE_APPLICATION: Row("delete an application with all its mappings", _AFFILIATE),
    Right.SEE_APPLICATION: Row("see an application, alone and in the list", _ALL),
    Right.SEE_MAPPINGS: Row("see mappings, alone and in the list", _AND_OWN),
    Right.CHANGE_MAPPINGS: Row("make, change, enable, disable and delete a mapping", _AND_OWN),
    Right.LOOK_UP: Row("look a credential up", _AND_OWN),
    Right.LOOK_UP_BY_EXTERNAL_USER: Row("look a credential up by its external user", _ADMINISTRATORS),
    Right.CHANGE_CREDENTIALS: Row("set and delete a credential", _AND_OWN),
    Right.ISSUE_TICKETS: Row("issue a ticket; own: for oneself", _AND_OWN),
    Right.REDEEM_TICKETS: Row("redeem a ticket", _ADMINISTRATORS),
    Right.SEE_CONFIG_INFO: Row("read a property bag of a config store", _ALL),
    Right.CHANGE_CONFIG_INFO: Row("set and delete a property bag", _ADMINISTRATORS),
    Right.PURGE_CACHE: Row("make an agent forget the credentials of an application", _ADMINISTRATORS),
    Right.CHANGE_SETTINGS: Row("see and change the settings of the system, and who administers it", _SSO_ONLY),
    Right.SEE_AUDIT: Row("read the audit", _SSO_ONLY),
}

OF_A_GROUP: Final = frozenset({Right.SEE_MAPPINGS, Right.LOOK_UP})
"""The rights on one's own mapping that also hold for one that is shared with a group: sharing it is not owning it."""


def matrix(reach: abc.Callable[[Right, SSORole], Scope] = lambda right, role: TABLE[right].of(role)) -> str:
    """The table as Markdown: as it stands, or as it was found to be."""
    head = ("operation", "right", *(role.value.replace("-", " ") for role in SSORole))
    rows = [
        (row.meaning, f"`{right.value}`", *(reach(right, role).value for role in SSORole))
        for right, row in TABLE.items()
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name and the role in its certificate, or its account on this machine."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class CallerRights:
    """Who asks, which roles that gives in the system or in one application, and how far each right goes by them. A
    right that none of them gives is absent."""

    name: str
    certificate: Role
    roles: tuple[SSORole, ...]
    rights: abc.Mapping[str, Scope]

    @classmethod
    def of(cls, principal: Principal, roles: abc.Iterable[SSORole]) -> CallerRights:
        """Read them from the table."""
        held = tuple(roles)
        reach = {right: {row.of(role) for role in held} for right, row in TABLE.items()}
        rights = {
            right.value: Scope.YES if Scope.YES in scopes else Scope.OWN
            for right, scopes in reach.items()
            if scopes - {Scope.NO}
        }
        return cls(principal.name, principal.role, held, rights)


def certificate_roles(principal: Principal) -> abc.Iterator[SSORole]:
    """Those that a certificate gives for every application; nobody has to be asked for them.

    An administrator's certificate is an SSO administrator. An SSO server holds the master secret: it administers every
    application's mappings and credentials, and no more than that.
    """
    if principal.role is Role.ADMINISTRATOR:
        yield SSORole.SSO_ADMINISTRATOR
    if principal.role is Role.SERVER:
        yield SSORole.APPLICATION_ADMINISTRATOR


def system_roles(accounts: frozenset[str], settings: Settings) -> abc.Iterator[SSORole]:
    """Those that the settings give for every application. `accounts` are keys: see `keysvc.model.names`."""
    if _among(accounts, accounts_in(settings.administrators)):
        yield SSORole.SSO_ADMINISTRATOR
    if _among(accounts, accounts_in(settings.affiliate_administrators)):
        yield SSORole.AFFILIATE_ADMINISTRATOR


def application_roles(accounts: frozenset[str], application: Application, settings: Settings) -> abc.Iterator[SSORole]:
    """Those of its accounts. Where the administrators are the same, those that the application names do not count."""
    same = application.flags.administrators_same
    administrators = accounts_in(settings.affiliate_administrators) if same else application.administrator_accounts
    if _among(accounts, administrators):
        yield SSORole.APPLICATION_ADMINISTRATOR
    if _among(accounts, application.user_accounts):
        yield SSORole.APPLICATION_USER


def _among(accounts: frozenset[str], named: abc.Iterable[str]) -> bool:
    return not accounts.isdisjoint(map(names.key, named))
