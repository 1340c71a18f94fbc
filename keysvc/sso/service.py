"""An SSO server in this process: what `keysvc.connect()` returns, and what `keysvc agent` serves."""

from __future__ import annotations

from collections import abc
from types import TracebackType
from typing import Self

from keysvc.errors import NotConfigured
from keysvc.model import NameRule, Role, SystemRecord
from keysvc.plugin.heartbeat import NoOp
from keysvc.plugin.interfaces import Authorizer, MappingStore
from keysvc.sso.authorization import Access
from keysvc.sso.calls import Calls
from keysvc.sso.credential_cache import CredentialCache
from keysvc.sso.credential_reader import StoredCredentials
from keysvc.sso.credential_writer import BATCH, NewCredential, Stored, Storing
from keysvc.sso.lookup_audit import LookupAudit
from keysvc.sso.performer import Performer
from keysvc.sso.permissions import Principal
from keysvc.sso.poller import MasterSecretServer, Poller
from keysvc.sso.requests.credentials import ImportCredentials
from keysvc.sso.sealed_cache import SealedCache
from keysvc.sso.status import ServerState
from keysvc.sso.tickets import Tickets
from keysvc.sso.version_cache import VersionCache
from keysvc.sso.version_ciphers import Ciphers
from keysvc.sso.work import Services


class SSO(Performer, Calls):
    """Encrypts and decrypts credentials with the cached master secret.

    Thread-safe and blocking; from asyncio call it through `asyncio.to_thread`. Use it as a context manager, or `close`
    it. While the master secret server is down, lookups go on and `set_credential` raises
    MasterSecretServerUnavailable as soon as the permission to encrypt (two poll intervals) has run out.
    """

    def __init__(
        self,
        store: MappingStore,
        master: MasterSecretServer,
        name: str,
        *,
        long_poll: bool = False,
        sealed: SealedCache | None = None,
        authorizer: Authorizer | None = None,
        role: Role = Role.SERVER,
    ) -> None:
        """`name` and `role` are those of this SSO server's own certificate."""
        system = store.system()
        if system is None:
            raise NotConfigured(f"the mapping store {store.info().url} holds no system")
        self._system: SystemRecord = system
        self._cache = VersionCache()
        self._lookups = LookupAudit(store, system, lambda: self._cache.audit_keys, self._cache.interval)
        self._credentials = CredentialCache(self._cache.interval, self._cache_lifetime, lambda: self._lookups.names)
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
        services = Services(
            StoredCredentials(store, self._ciphers, authorizer),
            Storing(store, self._ciphers, self._credentials),
            self._credentials,
            self._lookups,
            Tickets(store, self._ciphers.of),
            self._state,
        )
        super().__init__(
            Principal(name, role),
            store,
            Access(store, self._cache.interval, authorizer),
            self._lookups,
            keys=lambda: self._cache.audit_keys,
            services=services,
        )
        self._poller.start()
        self._poller.load_sealed(store)

    def poll_interval(self) -> float:
        """In seconds: within it, what changed elsewhere is known here."""
        return self._cache.interval()

    def ask(self, no_op: NoOp) -> None:
        """Hand the thread that polls a no-op, which it calls when it gets to it."""
        self._poller.ask(no_op)

    @property
    def names(self) -> NameRule:
        """Which names are one in the system."""
        return self._lookups.settings.names

    @property
    def authorizer(self) -> Authorizer | None:
        """The one of this process, which this closes."""
        return self._authorizer

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

    def store_credentials(
        self,
        application: str,
        credentials: abc.Sequence[NewCredential],
        *,
        dry_run: bool = False,
        replace_all: bool = False,
    ) -> abc.Iterator[Stored]:
        """Encrypt and store many credentials, some hundred in a commit, by user. A field that is not named keeps its
        value, unless `replace_all`.

        Yields what became of each such batch. A credential that is the same already stays. With `dry_run` nothing is
        stored. Raises as `set_credential`, and InvalidInput; what was stored before stays: the whole may be repeated.
        """
        in_order = sorted(credentials, key=lambda new: new.user)
        for start in range(0, len(in_order), BATCH):
            batch = tuple(in_order[start : start + BATCH])
            yield self.perform(ImportCredentials(application, batch, dry_run, replace_all))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _state(self) -> ServerState:
        announcement = self._cache.announcement
        active = announcement.active if announcement else None
        return ServerState(
            self._system.system_id,
            announcement.epoch if announcement else 0,
            active.version if active else None,
            tuple(version.number for version in self._cache.held()),
            self._cache.permitted and active is not None,
            str(self._poller.problem or ""),
        )

    def _cache_lifetime(self) -> float:
        system = self._store.system() or self._system
        return 60.0 * system.settings.credential_cache_minutes
