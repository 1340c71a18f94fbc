"""An SSO server in this process: what `keysvc.connect()` returns, and what `keysvc agent` serves."""

from __future__ import annotations

import functools
from collections import abc
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self

from keysvc.errors import (
    Conflict,
    NotConfigured,
    NotFound,
    SystemDisabled,
)
from keysvc.model import (
    Application,
    AuditTrail,
    Detail,
    Guard,
    Mapping,
    SecretText,
    SystemRecord,
)
from keysvc.plugin.changes import (
    AppendAudit,
    Change,
    DeleteCredential,
    DeleteMapping,
    SealAudit,
)
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import Authorizer, MappingStore
from keysvc.sso import lookup_audit
from keysvc.sso.administration import Administration
from keysvc.sso.config_store import refuse_config_store, require_config_store
from keysvc.sso.credential_cache import CredentialCache
from keysvc.sso.credential_reader import StoredCredentials
from keysvc.sso.credential_writer import NewCredential, Stored, Storing
from keysvc.sso.credentials import Credential, labelled
from keysvc.sso.entries import of_user, trail_of
from keysvc.sso.lookup_audit import LookupAudit
from keysvc.sso.poller import MasterSecretServer, Poller
from keysvc.sso.sealed_cache import SealedCache
from keysvc.sso.tickets import Ticket, Tickets
from keysvc.sso.version_cache import VersionCache
from keysvc.sso.version_ciphers import Ciphers

NO_DETAIL: Detail = MappingProxyType({})
REDEEMED = "ticket.redeemed"


@dataclass(frozen=True, slots=True)
class ServerState:
    """What an SSO server knows of itself. `problem` is why the last poll failed, else empty."""

    system_id: str
    epoch: int
    active_version: int | None
    versions_held: tuple[int, ...]
    can_encrypt: bool
    problem: str


class SSO:
    """Encrypts and decrypts credentials with the cached master secret.

    Thread-safe and blocking; from asyncio call it through `asyncio.to_thread`. Use it as a context manager, or `close`
    it. While the master secret server is down, lookups go on and `set_credential` raises
    MasterSecretServerUnavailable as soon as the permission to encrypt (two poll intervals) has run out.
    """

    def __init__(
        self,
        store: MappingStore,
        master: MasterSecretServer,
        actor: str,
        *,
        long_poll: bool = False,
        sealed: SealedCache | None = None,
        authorizer: Authorizer | None = None,
        as_member: bool = True,
    ) -> None:
        """What an administrator does is recorded apart: unless `as_member`, `actor` is one."""
        system = store.system()
        if system is None:
            raise NotConfigured(f"the mapping store {store.info().url} holds no system")
        self._system: SystemRecord = system
        self._store = store
        self._actor = actor
        self._own, self._trail = False, trail_of(as_member=as_member)
        self._cache = VersionCache()
        self._lookups = LookupAudit(store, system, lambda: self._cache.audit_keys, self._cache.interval)
        self._credentials = CredentialCache(self._cache.interval, self._cache_lifetime)
        self._poller = Poller(
            master,
            self._cache,
            system.system_id,
            after_poll=self._credentials.sweep,
            on_revoked=self._credentials.forget,
            long_poll=long_poll,
            sealed=sealed,
        )
        self._ciphers = Ciphers(store, self._cache, self._poller)
        self._authorizer = authorizer
        self._stored = StoredCredentials(store, self._ciphers, authorizer)
        self._storing = Storing(store, self._ciphers, self._credentials.forget)
        self._tickets = Tickets(store, self._ciphers.of)
        self._poller.start()
        self._poller.load_sealed(store)

    def poll_interval(self) -> float:
        """In seconds: within it, what changed elsewhere is known here."""
        return self._cache.interval()

    def acting_as(self, caller: str, *, own: bool = False, as_member: bool = True) -> Self:
        """This SSO server for another caller: the audit names it. With `own` it may change only what is its own: it
        gets no external user that another has. Only the original is closed."""
        view = object.__new__(type(self))  # an agent does so for each request: copy.copy takes ten times as long
        changed = {"_actor": caller, "_own": own, "_trail": trail_of(as_member=as_member)}
        view.__dict__ = {**self.__dict__, **changed}
        return view

    @property
    def administration(self) -> Administration:
        """Applications and mappings, changed in the caller's name."""
        return Administration(
            self._store,
            self._actor,
            keys=lambda: self._cache.audit_keys,
            changed=self._credentials.forget,
            own=self._own,
            trail=self._trail,
        )

    @property
    def authorizer(self) -> Authorizer | None:
        """The one of this process, which this closes."""
        return self._authorizer

    @property
    def audit(self) -> LookupAudit:
        """What records look-ups, and operations that were denied."""
        return self._lookups

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop polling, say goodbye to the master secret server, close the mapping store and the authorizer.
        Repeatable."""
        self._poller.stop()
        self._credentials.forget()
        self._store.close()
        if self._authorizer is not None:
            self._authorizer.close()

    def credential(self, application: str, *, user: str, fresh: bool = False) -> Credential:
        """Look up the credential of `user` for `application`; in a group application, that of the first of its accounts
        that `user` belongs to.

        What this SSO server stored is seen at once, what others changed within one poll interval; while the mapping
        store cannot be reached, what was read in the last hour (credential_cache_minutes) is answered from memory.
        `fresh` asks the mapping store in any case: do so when the application was refused a sign-on.

        Raises NotFound, AccessDenied (application or mapping disabled), CannotDecrypt, MappingStoreUnavailable, and
        MasterSecretServerUnavailable only when the version that it needs was never fetched.
        """
        if not fresh and (known := self._credentials.fresh(application, user, now := elapsed())) is not None:
            if now < self._lookups.silent_until:
                return known
            if self._lookups.settings.enabled:
                self._lookups.succeeded(self._actor, application, user, lookup_audit.FROM_MEMORY)
                return known
        with self._lookups.of(self._actor, application, user, lookup_audit.FROM_STORE):
            self._refuse_disabled()
            return self._credentials.through(
                application, user, lambda: self._stored.of_user(application, user), must_be_fresh=fresh
            )

    def lookup(self, application: str, *, external_user: str, password: str | SecretText | None = None) -> Credential:
        """Look up a credential by the user id that the application knows, for a host that signs its user on here.

        An application that validates passwords demands `password`, which the user gave to the host: it is compared with
        the stored one, in the first masked field, before anything is given out. Raises as `credential`; Conflict when
        several users share the external user; AccessDenied when the application does not allow it, or the password is
        not the right one. Never from memory.
        """
        secret = SecretText(password) if isinstance(password, str) else password
        with self._lookups.of(self._actor, application, external_user, lookup_audit.BY_EXTERNAL_USER):
            self._refuse_disabled()
            return self._stored.of_external_user(application, external_user, secret)

    def set_credential(
        self,
        application: str,
        fields: abc.Mapping[str, str | SecretText] | None = None,
        /,
        *,
        user: str,
        external_user: str | None = None,
        expected_revision: int | None = None,
        **named: str | SecretText,
    ) -> int:
        """Encrypt and store a credential; replaces all its fields. Returns the version that encrypted it.

        Give the fields as a mapping of label to value, by name, or both; labels are matched without regard to case.
        `external_user` makes the mapping, enabled, when there is none, and changes it when it differs. With
        `expected_revision`, of the credential that was read before, or 0 for none, raises Changed when it is another by
        now. Raises NotFound, InvalidInput, MasterSecretServerUnavailable, MappingStoreUnavailable.
        """
        refuse_config_store(self._stored.application(application))
        values = {**(fields or {}), **named}
        return self._set_credential(application, values, user, external_user, expected_revision=expected_revision)

    def _set_credential(
        self,
        application: str,
        fields: abc.Mapping[str, str | SecretText],
        user: str,
        external_user: str | None,
        *,
        expected_revision: int | None = None,
    ) -> int:
        self._refuse_disabled()
        definition = self._stored.application(application)
        new = NewCredential.of(definition, user, labelled(definition, fields), external_user)
        audit = functools.partial(self._audit, "credential.set", application, new.user)
        return self._storing.store(definition, new, audit, expected_revision, own=self._own)

    def store_credentials(
        self,
        application: str,
        credentials: abc.Sequence[NewCredential],
        *,
        dry_run: bool = False,
        replace_all: bool = False,
    ) -> abc.Iterator[Stored]:
        """Encrypt and store many credentials, some hundred in a commit.
        A field that is not named keeps its value, unless
        `replace_all`.

        Yields what became of each such batch. A credential that is the same already stays. With `dry_run` nothing is
        stored. Raises as `set_credential`, and InvalidInput; what was stored before stays: the whole may be repeated.
        """
        self._refuse_disabled()
        definition = self._stored.application(application)
        refuse_config_store(definition)

        def audit(batch: abc.Sequence[NewCredential]) -> abc.Iterator[Change]:
            self._refuse_disabled()  # it may have been disabled since the first batch
            users = f"{batch[0].user} … {batch[-1].user}" if len(batch) > 1 else batch[0].user
            return self._audit("credential.imported", application, users, {"credentials": len(batch)})

        return self._storing.store_many(definition, credentials, audit, dry_run=dry_run, replace_all=replace_all)

    def delete_credential(self, application: str, *, user: str) -> None:
        """Raises NotFound."""
        deletion = DeleteCredential(application, user)
        self._delete(deletion, "credential.deleted", f"{user} has no credential for {application}")

    def _delete(self, deletion: DeleteCredential | DeleteMapping, action: str, missing: str) -> None:
        self._refuse_disabled()
        entry = self._audit(action, deletion.application, deletion.user)
        try:
            self._store.commit([deletion, *entry], Guard())
        except Conflict:
            raise NotFound(missing) from None
        finally:  # also when the answer to the commit was lost
            self._credentials.forget(deletion.application)

    def ticket(self, *, user: str | None = None) -> Ticket:
        """A ticket for `user`, or for the caller itself: whoever has it may trade it once, within two minutes unless
        the system or the application says otherwise, for the user's credential. It works while the master secret
        server is down. Raises AccessDenied when no application takes tickets."""
        self._refuse_disabled()
        return self._tickets.issue(user if user is not None else self._actor, self._actor)

    def redeem(self, application: str, ticket: str | SecretText, *, sender: str | None = None) -> Credential:
        """Trade a ticket for its user's credential. `sender` is whom the ticket came from, and must be its user; an
        application that validates tickets demands it. Raises AccessDenied for a ticket that was changed, used or has
        ended, and as `credential`; a ticket that was refused is not used up."""
        text = ticket if isinstance(ticket, SecretText) else SecretText(ticket)
        with self._lookups.of(self._actor, application, "a ticket", lookup_audit.RECORDED_ALREADY):
            self._refuse_disabled()
            claims = self._tickets.open(self._stored.application(application), text, sender)
            found, _ = self._stored.of_user(application, claims.user)
            detail = {"requester": claims.requester}
            self._tickets.use(claims, *self._audit(REDEEMED, application, claims.user, detail))
        return found

    def set_config_info(self, application: str, properties: abc.Mapping[str, str | SecretText], /, *, name: str) -> int:
        """Encrypt and store the property bag `name`, in place of all its properties, in an application of the type
        config-store. Returns the version that encrypted it. Raises as `set_credential`."""
        require_config_store(self._stored.application(application))
        return self._set_credential(application, properties, name, external_user=name)

    def get_config_info(self, application: str, *, name: str, fresh: bool = False) -> abc.Mapping[str, SecretText]:
        """The properties of a bag by label. Raises and is kept in memory as `credential`."""
        require_config_store(self._stored.application(application))
        return self.credential(application, user=name, fresh=fresh).fields

    def delete_config_info(self, application: str, *, name: str) -> None:
        """The whole bag. Raises NotFound."""
        require_config_store(self._stored.application(application))
        self._delete(DeleteMapping(application, name), "config.deleted", f"{application} has no property bag {name}")

    def purge_cache(self, application: str | None = None) -> int:
        """Forget the credentials of an application, or all, that are kept in memory. Returns how many there were."""
        return self._credentials.forget(application)

    def application(self, name: str) -> Application:
        """Its definition. Raises NotFound."""
        return self._stored.application(name)

    def applications(self, *, after: str = "", limit: int = 500) -> abc.Sequence[Application]:
        """A page by name, beginning behind `after`."""
        return [application for application in self._store.applications() if application.name > after][:limit]

    def mappings(self, application: str, *, after: str = "", limit: int = 500) -> abc.Sequence[Mapping]:
        """A page by user, beginning behind `after`. Raises NotFound."""
        self._stored.application(application)
        return self._store.mappings(application, after=after, limit=limit)

    def status(self) -> ServerState:
        """What this SSO server knows; asks nobody."""
        announcement = self._cache.announcement
        active = announcement.active if announcement else None
        return ServerState(
            self._system.system_id,
            announcement.epoch if announcement else 0,
            active.version if active else None,
            self._cache.held(),
            self._cache.permitted and active is not None,
            str(self._poller.problem or ""),
        )

    # -- inside ----------------------------------------------------------------------------------------------------

    def _refuse_disabled(self) -> None:
        """As the mapping store said at most one poll interval ago."""
        if not self._lookups.settings.enabled:
            raise SystemDisabled("the system is disabled: nothing is looked up and nothing is stored")

    def _cache_lifetime(self) -> float:
        system = self._store.system() or self._system
        return 60.0 * system.settings.credential_cache_minutes

    def _audit(self, action: str, application: str, user: str, detail: Detail = NO_DETAIL) -> abc.Iterator[Change]:
        trail = AuditTrail.MEMBERS if action == REDEEMED else self._trail  # one for each sign-on
        entry = of_user(self._actor, action, application, user, detail, trail=trail)
        yield AppendAudit(entry)
        keys = self._cache.audit_keys
        if keys is not None:
            yield SealAudit(entry.trail, keys)
