"""Who may do what at an agent: the table of roles, applied to the accounts that an application and the system name.

What the authorizer says is remembered for one poll interval, and so is what the mapping store says, for look-ups: these
go on while it cannot be reached. No change and no denial rests on what the mapping store said before.
"""

from __future__ import annotations

import threading
from collections import abc
from typing import Final, Generic, TypeVar

from keysvc.errors import AccessDenied, MappingStoreUnavailable
from keysvc.model import Application, ApplicationType, Mapping, Settings, names
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import Authorizer, MappingStore
from keysvc.sso.memory_alone import about_to_wait
from keysvc.sso.permissions import (
    OF_A_GROUP,
    TABLE,
    Principal,
    Right,
    Scope,
    SSORole,
    application_roles,
    system_roles,
)

MAXIMUM_REMEMBERED: Final = 10_000
PAGE: Final = 500
FROM_MEMORY: Final = frozenset({Right.LOOK_UP, Right.SEE_CONFIG_INFO, Right.SEE_APPLICATION, Right.SEE_MAPPINGS})
"""The rights that may be found in what is remembered."""
OF_USERS: Final = frozenset({ApplicationType.INDIVIDUAL, ApplicationType.GROUP})
"""The types whose mappings are of those who ask; in the others they are of property bags, and of users of a host."""
Key = TypeVar("Key", bound=abc.Hashable)
Value = TypeVar("Value")


class Access:
    """Thread-safe. `interval` in seconds. Without an authorizer, nobody is in a group."""

    def __init__(
        self, store: MappingStore, interval: abc.Callable[[], float], authorizer: Authorizer | None = None
    ) -> None:
        self._store = store
        self._settings: _Remembered[None, Settings] = _Remembered(
            lambda _: _settings(store), interval, survives=MappingStoreUnavailable
        )
        self._application = _Remembered(store.application, interval, survives=MappingStoreUnavailable)
        self._mapped = _Remembered(self._read_mapped, interval, survives=MappingStoreUnavailable)
        self._groups = None if authorizer is None else _Remembered(authorizer.groups_of, interval)

    def require(
        self, principal: Principal, right: Right, application: str | None = None, user: str | None = None
    ) -> Scope:
        """How far the right goes: `own` when only for what is the principal's own. Raises AccessDenied,
        AuthorizerUnavailable. `user` is whose mapping or credential it is about."""
        reach = Scope.NO
        if right in FROM_MEMORY:
            reach = self._may(principal, right, application, user, fresh=False)
        if reach is Scope.NO:
            reach = self._may(principal, right, application, user, fresh=True)
        if reach is not Scope.NO:
            return reach
        of_what = f" of {application}" if application is not None else ""
        whose = f" for {user}" if user is not None else ""
        raise AccessDenied(
            f"{principal.name} has no role that allows {right.value}{whose}{of_what}",
            hint="docs/reference/roles.md says which role does; `keysvc role of NAME --app APP` says which it has",
        )

    def visible(self, principal: Principal, applications: abc.Iterable[Application]) -> abc.Iterator[Application]:
        """Those in which it has a role, as they come. Raises AuthorizerUnavailable."""
        settings, right = self._settings(None), Right.SEE_APPLICATION
        if self._reach(principal, right, None, None, settings) is not Scope.NO:
            return iter(applications)
        return (a for a in applications if self._reach(principal, right, a, None, settings) is not Scope.NO)

    def own_mappings(self, principal: Principal, application: str) -> abc.Sequence[Mapping] | None:
        """By user; None for somebody who may see all. Raises AuthorizerUnavailable."""
        definition, accounts = self._application(application), self._all_accounts(principal)
        roles = self._roles(principal, accounts, definition, self._settings(None))
        if any(TABLE[Right.SEE_MAPPINGS].of(role) is Scope.YES for role in roles):
            return None
        if definition is None or definition.type not in OF_USERS:
            return []
        if definition.type is not ApplicationType.GROUP:
            mapping = self._store.mapping(application, principal.name)
            return [] if mapping is None else [mapping]
        known = names.keys(accounts)
        return [mapping for mapping in self._all_mappings(application) if names.key(mapping.user) in known]

    def roles(self, principal: Principal, application: str | None = None) -> abc.Sequence[SSORole]:
        """All of them, in the system or in an application. Raises AuthorizerUnavailable."""
        definition = self._application(application, fresh=True) if application is not None else None
        settings = self._settings(None, fresh=True)
        found = set(self._roles(principal, self._all_accounts(principal), definition, settings))
        return [role for role in SSORole if role in found]

    # -- inside ----------------------------------------------------------------------------------------------------

    def _may(
        self, principal: Principal, right: Right, application: str | None, user: str | None, *, fresh: bool
    ) -> Scope:
        """From what is remembered, or `fresh` from the mapping store; groups are asked for once an interval anyway."""
        settings = self._settings(None, fresh=fresh)
        if right is Right.ISSUE_TICKETS:  # is of no application: whoever administers one that takes them
            taking = (each for each in self._store.applications() if each.flags.allow_tickets)
            whose = user if user is not None else principal.name
            found = (self._reach(principal, right, each, whose, settings) for each in (None, *taking))
            return next((reach for reach in found if reach is not Scope.NO), Scope.NO)
        definition = None if application is None else self._application(application, fresh=fresh)
        if fresh and application is not None:
            self._mapped((application, user if user is not None else principal.name), fresh=True)
        return self._reach(principal, right, definition, user, settings)

    def _reach(
        self, principal: Principal, right: Right, application: Application | None, user: str | None, settings: Settings
    ) -> Scope:
        """The authorizer is asked only when the name alone does not suffice."""
        row = TABLE[right]
        for accounts in self._accounts(principal):
            own = right is Right.ISSUE_TICKETS and application is None  # worth nothing to somebody without a mapping
            for role in self._roles(principal, accounts, application, settings):
                reach = row.of(role)
                if reach is Scope.YES:
                    return Scope.YES
                own = own or reach is Scope.OWN
            if own and self._owns(principal, accounts, right, application, user):
                return Scope.OWN
        return Scope.NO

    def _accounts(self, principal: Principal) -> abc.Iterator[abc.Sequence[str]]:
        yield [principal.name]
        if self._groups is not None:
            yield [principal.name, *self._groups(principal.name)]

    def _all_accounts(self, principal: Principal) -> abc.Sequence[str]:
        *_, accounts = self._accounts(principal)
        return accounts

    def _roles(
        self, principal: Principal, accounts: abc.Sequence[str], application: Application | None, settings: Settings
    ) -> abc.Iterator[SSORole]:
        known = names.keys(accounts)
        yield from system_roles(principal, known, settings)
        if application is not None:
            yield from application_roles(known, application, settings)
            if not application.user_accounts and self._is_mapped(principal, accounts, application):
                yield SSORole.APPLICATION_USER

    def _is_mapped(self, principal: Principal, accounts: abc.Sequence[str], application: Application) -> bool:
        """An application that names no users has those whom somebody mapped."""
        if application.type not in OF_USERS:
            return False
        users = accounts if application.type is ApplicationType.GROUP else [principal.name]
        return any(self._mapped((application.name, user)) for user in users)

    def _owns(
        self,
        principal: Principal,
        accounts: abc.Sequence[str],
        right: Right,
        application: Application | None,
        user: str | None,
    ) -> bool:
        if user is None:
            return right is Right.SEE_MAPPINGS  # of which it is shown its own
        if application is not None and application.type not in OF_USERS:
            return False
        if application is not None and application.type is ApplicationType.GROUP:
            return right in OF_A_GROUP and names.key(user) in names.keys(accounts)
        if not names.same(user, principal.name):
            return False
        return application is None or bool(application.user_accounts) or self._mapped((application.name, user))

    def _read_mapped(self, key: tuple[str, str]) -> bool:
        return self._store.mapping(*key) is not None

    def _all_mappings(self, application: str) -> abc.Iterator[Mapping]:
        after = ""
        while page := self._store.mappings(application, after=after, limit=PAGE):
            yield from page
            after = page[-1].user


class _Remembered(Generic[Key, Value]):
    """What `read` says, for `interval` seconds; while it raises what an answer `survives`, what it said last."""

    def __init__(
        self,
        read: abc.Callable[[Key], Value],
        interval: abc.Callable[[], float],
        survives: type[MappingStoreUnavailable] | tuple[()] = (),
    ) -> None:
        self._read, self._interval, self._survives = read, interval, survives
        self._answers: dict[Key, tuple[float, Value]] = {}
        self._lock = threading.Lock()

    def __call__(self, key: Key, *, fresh: bool = False) -> Value:
        known, now = self._answers.get(key), elapsed()
        if known is not None and not fresh and now < known[0]:
            return known[1]
        about_to_wait()
        try:
            answer = self._read(key)
        except self._survives:
            if known is None:
                raise
            answer = known[1]
        with self._lock:
            self._answers.pop(key, None)
            if len(self._answers) >= MAXIMUM_REMEMBERED:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = now + self._interval(), answer
        return answer


def _settings(store: MappingStore) -> Settings:
    system = store.system()
    return system.settings if system is not None else Settings()
