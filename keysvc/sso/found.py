"""What the mapping store has of that which a request is about: read once, when it is first asked for."""

from __future__ import annotations

import contextlib
from typing import Final

from keysvc.errors import InvalidInput, NotConfigured, NotFound
from keysvc.model import Application, EncryptedCredential, Mapping, Settings, SystemRecord
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso import spelling

UNKNOWN: Final = "(unknown)"
NONE: Final = "*"


class Found:
    """The system's record, an application, and a user's mapping and credential in it.

    With a user, one read brings the application, the mapping and the credential together. One thread uses it, for one
    attempt: whoever lost a race reads `again`.
    """

    def __init__(self, store: MappingStore, application: str | None = None, user: str | None = None) -> None:
        self._store = store
        self.application_name, self.user = application, user
        self.read_at = elapsed()
        """Everything was read after this time, of `plugin.clock`."""
        self.known_system: SystemRecord | None = None
        self.applications: dict[str, Application | None] = {}
        self.mapped: dict[tuple[str, str], bool] = {}
        self._mapping: Mapping | None = None
        self._credential: EncryptedCredential | None = None

    def again(self, user: str | None = None) -> Found:
        """The same, not read yet; or what there is of another user of the application."""
        return Found(self._store, self.application_name, self.user if user is None else user)

    @property
    def system(self) -> SystemRecord:
        """Raises NotConfigured."""
        if self.known_system is None:
            self.known_system = self._store.system()
        if self.known_system is None:
            raise NotConfigured(f"the mapping store {self._store.info().url} holds no system")
        return self.known_system

    def settings(self) -> Settings:
        """Those of the system. Raises NotConfigured."""
        return self.system.settings

    def application(self, name: str) -> Application | None:
        """Any application by its name."""
        if name not in self.applications:
            if name == self.application_name and self.user is not None:
                self._look_up(name, self.user)
            else:
                self.applications[name] = spelling.application(self._store, name)
        return self.applications[name]

    def know(self, application: Application) -> None:
        """Take over an application that was read elsewhere just now."""
        self.applications[application.name] = application

    def is_mapped(self, application: str, user: str) -> bool:
        """Whether any user has a mapping for any application."""
        if (application, user) == (self.application_name, self.user):
            self.application(application)
        elif (application, user) not in self.mapped:
            self.mapped[application, user] = spelling.mapping(self._store, application, user) is not None
        return self.mapped[application, user]

    def known_names(self) -> tuple[str, str]:
        """The application and the user, as far as the mapping store has them: another name may be a secret that was
        typed in its place."""
        application, user = self.application_name, self.user
        is_known, is_mapped = False, False
        with contextlib.suppress(InvalidInput):  # what can be no name
            is_known = application is not None and self.application(application) is not None
            is_mapped = is_known and user is not None and self.is_mapped(application or "", user)
        return _shown(application, is_known=is_known), _shown(user, is_known=is_mapped)

    @property
    def definition(self) -> Application:
        """The application of the request. Raises NotFound."""
        return existing(self._store, self.application(self.application_name or ""), self.application_name or "")

    @property
    def account(self) -> str:
        """The user of the request, spelled as the mapping is, if there is one."""
        return self.mapping.user if self.mapping is not None else self.user or ""

    def unmapped(self) -> NotFound:
        """The error that the user has no mapping."""
        name = self.definition.name
        near = spelling.near(self._store, self.user or "", name)
        return NotFound(f"{self.user} has no mapping for {name}{near}", hint=f"keysvc mapping list '{name}'")

    @property
    def mapping(self) -> Mapping | None:
        """The user's, if there is one."""
        self.application(self.application_name or "")
        return self._mapping

    @property
    def credential(self) -> EncryptedCredential | None:
        """The user's, if there is one."""
        self.application(self.application_name or "")
        return self._credential

    def _look_up(self, application: str, user: str) -> None:
        found = spelling.look_up(self._store, application, user)
        definition, self._mapping, self._credential = (None, None, None) if found is None else found
        self.applications[application] = definition
        self.mapped[application, user] = self._mapping is not None


def _shown(name: str | None, *, is_known: bool) -> str:
    return NONE if name is None else name if is_known else UNKNOWN


def existing(store: MappingStore, application: Application | None, name: str) -> Application:
    """The application that was read by its name. Raises NotFound when there is none."""
    if application is None:
        raise NotFound(f"there is no application {name}{spelling.near(store, name)}", hint="keysvc app list")
    return application
