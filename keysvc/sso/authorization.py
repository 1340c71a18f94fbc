"""Who may do what: the table of roles, applied to the accounts that an application and the system name.

What the authorizer says is remembered for one poll interval, and so is what the mapping store says, for look-ups: these
go on while it cannot be reached. No change and no denial rests on what the mapping store said before.
"""

from __future__ import annotations

import threading
from collections import abc
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from keysvc.errors import AccessDenied, MappingStoreUnavailable
from keysvc.model import Application, ApplicationType, Mapping, Settings, names
from keysvc.plugin import paging
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import Authorizer, MappingStore
from keysvc.sso import spelling
from keysvc.sso.found import Found
from keysvc.sso.permissions import (
    OF_A_GROUP,
    TABLE,
    Principal,
    Right,
    Scope,
    SSORole,
    application_roles,
    certificate_roles,
    system_roles,
)

MAXIMUM_REMEMBERED: Final = 10_000
FROM_MEMORY: Final = frozenset({Right.LOOK_UP, Right.SEE_CONFIG_INFO, Right.SEE_APPLICATION, Right.SEE_MAPPINGS})
"""The rights that may be found in what is remembered."""
OF_USERS: Final = frozenset({ApplicationType.INDIVIDUAL, ApplicationType.GROUP})
"""The types whose mappings are of those who ask; in the others they are of property bags, and of users of a host."""
Key = TypeVar("Key", bound=abc.Hashable)
Value = TypeVar("Value")
Groups = abc.Callable[[str], abc.Collection[str]]


class Access:
    """Thread-safe. `interval` in seconds. Without an authorizer, nobody is in a group."""

    def __init__(
        self, store: MappingStore, interval: abc.Callable[[], float], authorizer: Authorizer | None = None
    ) -> None:
        self._store = store
        self._memory = _Memory(store, interval)
        self._groups = None if authorizer is None else _Remembered(authorizer.groups_of, interval)

    def require(self, principal: Principal, right: Right, found: Found) -> Scope:
        """How far the right goes: `own` when only for what is the principal's own. Raises AccessDenied,
        AuthorizerUnavailable. The request is about the application and the user of `found`."""
        scope = Scope.NO
        if right in FROM_MEMORY:
            scope = self._scope(principal, right, found, self._memory)
        if scope is Scope.NO:
            scope = self._scope(principal, right, found, found)
            self._memory.learn(found)
        if scope is not Scope.NO:
            return scope
        of_what = f" of {found.application_name}" if found.application_name is not None else ""
        whose = f" for {found.user}" if found.user is not None else ""
        denied = f"{principal.name} has no role that allows {right.value}"
        raise AccessDenied(
            f"{denied}{whose}{of_what}",
            logged=denied,
            hint="docs/reference/roles.md says which role does; `keysvc role of NAME --app APP` says which it has",
        )

    def remembers(self, principal: Principal, right: Right, application: str | None, user: str | None) -> bool:
        """Whether what is remembered, and fresh, allows it. Asks nobody."""
        groups = None if self._groups is None else self._groups.known
        try:
            asked = _Question(principal, right, application, user, _Recent(self._memory), groups)
            return right in FROM_MEMORY and asked.scope() is not Scope.NO
        except NotRemembered:
            return False

    def visible(self, principal: Principal, applications: abc.Iterable[Application]) -> abc.Iterator[Application]:
        """Those in which it has a role, as they come. Raises AuthorizerUnavailable."""
        if self._sees(principal, None):
            return iter(applications)
        return (each for each in applications if self._sees(principal, each))

    def own_mappings(self, principal: Principal, application: str) -> abc.Sequence[Mapping] | None:
        """By user; None for somebody who may see all. Raises AuthorizerUnavailable."""
        asked = self._about(principal, Right.SEE_MAPPINGS, application, None, self._memory)
        accounts = asked.all_accounts()
        if any(TABLE[Right.SEE_MAPPINGS].of(role) is Scope.YES for role in asked.roles(accounts)):
            return None
        definition = asked.definition()
        if definition is None or definition.type not in OF_USERS:
            return []
        if definition.type is not ApplicationType.GROUP:
            mapping = spelling.mapping(self._store, definition.name, principal.name)
            return [] if mapping is None else [mapping]
        known = names.keys(accounts)
        found = paging.mappings(self._store, definition.name)
        return [mapping for mapping in found if names.key(mapping.user) in known]

    def roles(self, principal: Principal, application: str | None = None) -> abc.Sequence[SSORole]:
        """All of them, in the system or in an application. Raises AuthorizerUnavailable."""
        asked = self._about(principal, Right.SEE_APPLICATION, application, None, Found(self._store, application))
        found = set(asked.roles(asked.all_accounts()))
        return [role for role in SSORole if role in found]

    # -- inside ----------------------------------------------------------------------------------------------------

    def _about(
        self, principal: Principal, right: Right, application: str | None, user: str | None, facts: Facts
    ) -> _Question:
        return _Question(principal, right, application, user, facts, self._groups)

    def _scope(self, principal: Principal, right: Right, found: Found, facts: Facts) -> Scope:
        if right is not Right.ISSUE_TICKETS:
            return self._about(principal, right, found.application_name, found.user, facts).scope()
        whose = found.user if found.user is not None else principal.name  # of no application: of all that take tickets
        scope = self._about(principal, right, None, whose, facts).scope()
        taking = iter(self._store.applications() if scope is Scope.NO else ())
        while scope is Scope.NO and (application := next(taking, None)) is not None:
            if application.flags.allow_tickets:
                facts.know(application)
                scope = self._about(principal, right, application.name, whose, facts).scope()
        return scope

    def _sees(self, principal: Principal, application: Application | None) -> bool:
        if application is not None:
            self._memory.know(application)
        name = None if application is None else application.name
        return self._about(principal, Right.SEE_APPLICATION, name, None, self._memory).scope() is not Scope.NO


class Facts(Protocol):
    """What a decision rests on: read anew, as `Found` has it, or remembered."""

    def settings(self) -> Settings:
        """Those of the system."""

    def application(self, name: str) -> Application | None:
        """By its name."""

    def is_mapped(self, application: str, user: str) -> bool:
        """Whether the user has a mapping for the application."""

    def know(self, application: Application) -> None:
        """Take over an application that was read just now."""


@dataclass(frozen=True, slots=True)
class _Question:
    """How far does a right of `principal` go? Facts and groups are asked for only as far as the answer needs them: what
    a certificate allows needs neither the mapping store nor an authorizer."""

    principal: Principal
    right: Right
    application: str | None
    user: str | None
    facts: Facts
    groups: Groups | None

    def scope(self) -> Scope:
        row, right = TABLE[self.right], self.right
        for accounts in self._accounts():
            own = right is Right.ISSUE_TICKETS and self.application is None  # worth nothing without a mapping
            for role in self.roles(accounts):
                scope = row.of(role)
                if scope is Scope.YES:
                    return Scope.YES
                own = own or scope is Scope.OWN
            if own and self._owns(accounts):
                return Scope.OWN
        return Scope.NO

    def definition(self) -> Application | None:
        return None if self.application is None else self.facts.application(self.application)

    def all_accounts(self) -> abc.Sequence[str]:
        *_, accounts = self._accounts()
        return accounts

    def roles(self, accounts: abc.Sequence[str]) -> abc.Iterator[SSORole]:
        yield from certificate_roles(self.principal)
        known, settings = names.keys(accounts), self.facts.settings()
        yield from system_roles(known, settings)
        application = self.definition()
        if application is not None:
            yield from application_roles(known, application, settings)
            if not application.user_accounts and self._is_mapped(accounts, application):
                yield SSORole.APPLICATION_USER

    def _accounts(self) -> abc.Iterator[abc.Sequence[str]]:
        yield [self.principal.name]
        if self.groups is not None:
            yield [self.principal.name, *self.groups(self.principal.name)]

    def _is_mapped(self, accounts: abc.Sequence[str], application: Application) -> bool:
        """An application that names no users has those whom somebody mapped."""
        if application.type not in OF_USERS:
            return False
        users = accounts if application.type is ApplicationType.GROUP else [self.principal.name]
        return any(self.facts.is_mapped(application.name, user) for user in users)

    def _owns(self, accounts: abc.Sequence[str]) -> bool:
        if self.user is None:
            return self.right is Right.SEE_MAPPINGS  # of which it is shown its own
        application = self.definition()
        if application is not None and application.type not in OF_USERS:
            return False
        if application is not None and application.type is ApplicationType.GROUP:
            return self.right in OF_A_GROUP and names.key(self.user) in names.keys(accounts)
        if not names.same(self.user, self.principal.name):
            return False
        if application is None or application.user_accounts:
            return True
        return self.facts.is_mapped(application.name, self.user)


class NotRemembered(Exception):
    """The mapping store or an authorizer has to be asked, and that may take its time."""


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

    def known(self, key: Key) -> Value:
        """Raises NotRemembered where `read` has to be asked."""
        known = self._answers.get(key)
        if known is None or elapsed() >= known[0]:
            raise NotRemembered
        return known[1]

    def __call__(self, key: Key) -> Value:
        known, now = self._answers.get(key), elapsed()
        if known is not None and now < known[0]:
            return known[1]
        try:
            answer = self._read(key)
        except self._survives:
            if known is None:
                raise
            answer = known[1]
        self.learn(key, answer, now)
        return answer

    def learn(self, key: Key, answer: Value, at: float) -> None:
        """What was read at a time; of `plugin.clock`."""
        with self._lock:
            self._answers.pop(key, None)
            if len(self._answers) >= MAXIMUM_REMEMBERED:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = at + self._interval(), answer


class _Memory:
    """Facts as the mapping store had them within an interval; while it is away, as it had them last."""

    def __init__(self, store: MappingStore, interval: abc.Callable[[], float]) -> None:
        away = MappingStoreUnavailable
        self.system: _Remembered[None, Settings] = _Remembered(lambda _: _settings(store), interval, survives=away)
        self.applications: _Remembered[str, Application | None] = _Remembered(
            lambda name: spelling.application(store, name), interval, survives=away
        )
        self.mapped: _Remembered[tuple[str, str], bool] = _Remembered(
            lambda key: spelling.mapping(store, *key) is not None, interval, survives=away
        )

    def settings(self) -> Settings:
        return self.system(None)

    def application(self, name: str) -> Application | None:
        return self.applications(name)

    def is_mapped(self, application: str, user: str) -> bool:
        return self.mapped((application, user))

    def know(self, application: Application) -> None:
        self.applications.learn(application.name, application, elapsed())

    def learn(self, found: Found) -> None:
        """What was read for a decision holds for the next ones."""
        if found.known_system is not None:
            self.system.learn(None, found.known_system.settings, found.read_at)
        for name, application in found.applications.items():
            self.applications.learn(name, application, found.read_at)
        for key, is_mapped in found.mapped.items():
            self.mapped.learn(key, is_mapped, found.read_at)


@dataclass(frozen=True, slots=True)
class _Recent:
    """Facts from memory alone; each raises NotRemembered where the mapping store has to be asked."""

    memory: _Memory

    def settings(self) -> Settings:
        return self.memory.system.known(None)

    def application(self, name: str) -> Application | None:
        return self.memory.applications.known(name)

    def is_mapped(self, application: str, user: str) -> bool:
        return self.memory.mapped.known((application, user))

    def know(self, application: Application) -> None:
        self.memory.know(application)


def _settings(store: MappingStore) -> Settings:
    system = store.system()
    return system.settings if system is not None else Settings()
