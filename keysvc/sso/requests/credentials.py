"""Requests about credentials: look up, store, delete, forget."""

from __future__ import annotations

from collections import abc

from keysvc.errors import Conflict, NotFound
from keysvc.model import SecretText
from keysvc.plugin.changes import Change, DeleteCredential as DeleteRow
from keysvc.plugin.clock import elapsed
from keysvc.sso import lookup_audit
from keysvc.sso.config_store import refuse_config_store
from keysvc.sso.credential_writer import NewCredential, Stored
from keysvc.sso.credentials import Credential, labelled
from keysvc.sso.permissions import Right
from keysvc.sso.requests.request import ApplicationName, Name, Request, User
from keysvc.sso.work import Services, Work


class LookUpCredential(Request[Credential], frozen=True):
    """A user's credential for an application; `fresh` asks the mapping store in any case."""

    application: ApplicationName
    user: User
    fresh: bool = False

    needs = (Right.LOOK_UP,)

    def act(self, work: Work) -> Credential:
        return look_up(work, self.application, self.user, fresh=self.fresh)

    def remembered(self, services: Services) -> Credential | None:
        now = elapsed()
        if self.fresh or now >= services.lookups.silent_until:
            return None
        return services.cache.fresh(self.application, self.user, now)


def look_up(work: Work, application: str, user: str, *, fresh: bool) -> Credential:
    """Return a credential from memory or from the mapping store, and record that where it is due."""
    services, actor = work.services, work.caller.name
    lookups = services.lookups
    if not fresh and (known := services.cache.fresh(application, user, now := elapsed())) is not None:
        if now < lookups.silent_until:
            return known
        if lookups.settings.enabled:
            lookups.succeeded(actor, application, user, lookup_audit.FROM_MEMORY)
            return known
    with lookups.of(actor, application, user, lookup_audit.FROM_STORE):
        services.require_enabled()
        return services.cache.through(
            application, user, lambda: services.stored.of_user(application, user), must_be_fresh=fresh
        )


class LookUpByExternalUser(Request[Credential], frozen=True):
    """By the user id that the application knows. `password` is what that user gave to the host: an application that
    validates passwords demands it."""

    application: Name
    external_user: Name
    password: SecretText | None = None

    needs = (Right.LOOK_UP_BY_EXTERNAL_USER,)

    def act(self, work: Work) -> Credential:
        services = work.services
        with services.lookups.of(work.caller.name, self.application, self.external_user, lookup_audit.BY_EXTERNAL_USER):
            services.require_enabled()
            return services.stored.of_external_user(self.application, self.external_user, self.password)


class SetCredential(Request[int], frozen=True):
    """All fields by label. `external_user` makes the mapping when there is none, and changes it when it differs."""

    application: ApplicationName
    user: User
    fields: dict[str, SecretText]
    external_user: str | None = None
    expected_revision: int | None = None

    needs = (Right.CHANGE_CREDENTIALS,)

    def act(self, work: Work) -> int:
        refuse_config_store(work.found.definition)
        return store(work, self.user, self.fields, self.external_user, self.expected_revision)


class ChangeCredential(Request[int], frozen=True):
    """Some fields by label; the others keep their values. Needs no right to look them up, and shows none."""

    application: ApplicationName
    user: User
    fields: dict[str, SecretText]
    external_user: str | None = None

    needs = (Right.CHANGE_CREDENTIALS,)

    def act(self, work: Work) -> int:
        refuse_config_store(work.found.definition)
        return store(work, self.user, self.fields, self.external_user, keep=True)


def store(
    work: Work,
    user: str,
    fields: dict[str, SecretText],
    external_user: str | None,
    expected_revision: int | None = None,
    *,
    keep: bool = False,
) -> int:
    """Encrypt and store one credential of the application of `work`. Return the version that encrypted it."""
    work.require_enabled()
    definition = work.found.definition
    new = NewCredential.of(definition, user, labelled(definition, fields), external_user)
    found = work.found if new.user == work.found.user else work.found.again(new.user)
    new = new.spelled(definition, found.account)
    return work.services.storing.store(
        definition,
        new,
        found,
        lambda: work.recorded(work.entry("credential.set", definition.name, new.user)),
        expected_revision,
        own=work.own,
        keep=keep,
    )


class ImportCredentials(Request[Stored], frozen=True):
    """Some hundred credentials in one commit. A field that is not named keeps its value, unless `replace_all`; one that
    is the same already stays. With `dry_run` nothing is stored."""

    application: Name
    credentials: tuple[NewCredential, ...]
    dry_run: bool = False
    replace_all: bool = False

    needs = (Right.CHANGE_CREDENTIALS,)

    def act(self, work: Work) -> Stored:
        refuse_config_store(work.found.definition)
        work.require_enabled()
        first, last = self.credentials[0].user, self.credentials[-1].user
        users = first if len(self.credentials) == 1 else f"{first} … {last}"
        detail = {"credentials": len(self.credentials)}

        def audit() -> abc.Iterable[Change]:
            return work.recorded(work.entry("credential.imported", work.found.definition.name, users, detail))

        return work.services.storing.store_many(
            work.found.definition,
            self.credentials,
            None if self.dry_run else audit,
            replace_all=self.replace_all,
        )


class DeleteCredential(Request[None], frozen=True):
    """The credential alone: the mapping stays."""

    application: ApplicationName
    user: User

    needs = (Right.CHANGE_CREDENTIALS,)

    def act(self, work: Work) -> None:
        work.require_enabled()
        name, user = work.found.definition.name, work.found.account
        try:
            work.commit([DeleteRow(name, user)], work.entry("credential.deleted", name, user))
        except Conflict:
            raise NotFound(f"{user} has no credential for {name}") from None


class PurgeCache(Request[int], frozen=True):
    """Forget the credentials of an application, or all, that this SSO server keeps in memory."""

    application: ApplicationName | None = None

    needs = (Right.PURGE_CACHE,)

    def act(self, work: Work) -> int:
        return work.services.cache.forget(self.application)
