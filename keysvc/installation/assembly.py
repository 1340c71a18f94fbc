"""Puts running parts together from a configuration file. The only module that knows all of them; it imports each where
it is needed, because most commands need few."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections import abc, deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from keysvc.errors import ConfigurationError, KeysvcError, NotActive, NotConfigured
from keysvc.installation import config as configuration
from keysvc.installation.config import OF_A_MASTER, Config
from keysvc.model import Role, SecretBytes, utc_now
from keysvc.plugin.location import Location
from keysvc.plugin.logs import get_logger
from keysvc.plugin.safe_files import Unsafe, check_directory, check_file
from keysvc.web.master.client import MasterClient
from keysvc.web.tls.identity_files import AUTHORITY, CERTIFICATE, KEY, MASTER_IDENTITY, IdentityFiles

if TYPE_CHECKING:
    import ssl

    from keysvc.crypto.certificates import KeyPair, Peer
    from keysvc.installation.notifiers import Notifiers
    from keysvc.master.cluster_member import Member
    from keysvc.master.protectors import Protectors, Recovery
    from keysvc.master.service import MasterSecretServer
    from keysvc.plugin.heartbeat import Silent
    from keysvc.plugin.interfaces import Authorizer, KeyStore, MappingStore, Notifier, Prompt
    from keysvc.plugin.isolation import PluginFailure, Tell
    from keysvc.plugin.loading import Plugins
    from keysvc.sso import SSO
    from keysvc.sso.sealed_cache import SealedCache
    from keysvc.web.agent.client import AgentClient
    from keysvc.web.tls.renewal import Renewal

Part = TypeVar("Part", bound="MappingStore | Protectors | Notifier")

log = get_logger("keysvc.plugins")
TELL_AGAIN_SECONDS = 3600.0
TAKING_OVER_SECONDS = 5.0
"""How long a standby takes to take over, once the lease has ended."""
MOST_PLUGIN_FAILURES = 100
AUTHORITY_LOST = (
    "run it on another master secret server, which has it too; where there is none: keysvc secret restore FILE"
    " --new-authority"
)


@functools.cache
def plugins(only: tuple[str, ...] | None = None) -> Plugins:
    """All installed plugins, loaded once a process."""
    from keysvc.plugin.loading import Plugins

    return Plugins(only)


def allowed_plugins(*paths: Path) -> Plugins:
    """The plugins that each of these configuration files allows, or the default one where none is named.

    A file that cannot be read allows none but keysvc's own; where there is no file, all are allowed.
    """
    only: set[str] | None = None
    for path in paths or (None,):
        try:
            pinned = configuration.load(path).plugins
        except NotConfigured:
            continue
        except KeysvcError:  # whatever command runs then will say so
            pinned = ()
        if pinned is not None:
            only = set(pinned) if only is None else only.intersection(pinned)
    return plugins(None if only is None else tuple(sorted(only)))


def _pinned(config: Config) -> tuple[str, ...] | None:
    """Sorted, so that the same names are loaded once."""
    return None if config.plugins is None else tuple(sorted(set(config.plugins)))


def plugins_of(config: Config) -> Plugins:
    """The plugins that the configuration allows."""
    return plugins(_pinned(config))


def no_prompt(what: str) -> NoReturn:
    """A prompt for where nobody can be asked."""
    raise ConfigurationError(
        f"the {what} is needed, and nobody can be asked for it here",
        hint=f"let the URL say where it is: ?{what}-source=file:/PATH",
    )


def identity(config: Config) -> IdentityFiles:
    """This machine's own."""
    return IdentityFiles(config.resolve(config.identity))


def verified(config: Config, store: MappingStore, *roles: Role) -> Peer:
    """Who this machine is, verified as a server would: key, chain, dates, system, and what the store knows of it.

    With `roles`, it must have one of them. Raises ConfigurationError, AccessDenied, Revoked.
    """
    from keysvc.crypto import certificates
    from keysvc.master.enrolment import admitted

    files = identity(config)
    peer = files.require(*roles) if roles else files.peer()
    certificates.check_key(files.key_pair())
    admitted(peer, config.system_id, store.identity(peer.name), files.authority(), utc_now())
    return peer


def open_mapping_store(config: Config) -> MappingStore:
    """Raises UnknownScheme, ConfigurationError, MappingStoreUnavailable."""
    return plugins_of(config).mapping_stores.open(config.mapping_store, no_prompt, config.system_id)


def open_key_store(config: Config, prompt: Prompt) -> KeyStore:
    """Raises ConfigurationError where there is none, and what the key store raises."""
    if config.key_store is None:
        raise ConfigurationError(
            f"{config.path} names no key_store: this is not the master secret server's configuration",
            hint=OF_A_MASTER,
        )
    return open_key_store_at(config, config.key_store, prompt)


def open_protectors(config: Config, prompt: Prompt) -> Protectors:
    """The key store with the recovery key stores, which are opened when they are used and never ask anybody."""
    from keysvc.master.protectors import Protectors

    return Protectors(open_key_store(config, prompt), [recovery(config, url) for url in config.recovery_key_stores])


def recovery(config: Config, url: str) -> Recovery:
    """A recovery key store, not opened yet."""
    from keysvc.master.protectors import Recovery

    return Recovery(str(Location.parse(url)), functools.partial(open_key_store_at, config, url, no_prompt))


def open_key_store_at(config: Config, url: str, prompt: Prompt) -> KeyStore:
    """Any key store, for this system."""
    return plugins_of(config).key_stores.open(url, prompt, config.system_id)


def open_notifier(config: Config, url: str) -> Notifier:
    """Any notifier, for this system."""
    return plugins_of(config).notifiers.open(url, no_prompt, config.system_id)


def open_authorizer(config: Config) -> Authorizer | None:
    """The one that is configured. Raises UnknownScheme, ConfigurationError."""
    if config.authorizer is None:
        return None
    return plugins_of(config).authorizers.open(config.authorizer, no_prompt, config.system_id)


def notifiers_of(config: Config) -> Notifiers:
    """What opens the notifiers of a service; none is opened yet."""
    from keysvc.installation.notifiers import Notifiers

    return Notifiers(functools.partial(open_notifier, config))


def tell_of_plugins(config: Config, also: Tell | None = None) -> None:
    """Log which plugins could not be loaded, and from now on which fail: each plugin and method once an hour. `also` is
    told then."""
    found = plugins_of(config)
    told: dict[tuple[str, str], float] = {}

    def tell(failure: PluginFailure) -> None:
        now, key = time.monotonic(), (failure.plugin, failure.where)
        if now - told.get(key, -math.inf) < TELL_AGAIN_SECONDS:
            return
        told[key] = now
        log.error("a plugin failed", **failure.told)
        if also is not None:
            also(failure)

    for failure in found.failures:
        tell(failure)
    found.on_failure = tell


def newest_schema() -> int:
    """The newest schema of a mapping store that this release knows."""
    from keysvc.stores.migrations import MIGRATIONS

    return len(MIGRATIONS)


def granting_files(config: Config) -> abc.Iterator[tuple[Path, bool]]:
    """Every file that grants something to whoever reads or writes it, and whether it is a secret."""
    yield Path(config.path), False
    places = [config.identity, *([MASTER_IDENTITY] if config.listen else []), *filter(None, [config.authority])]
    for directory in map(config.resolve, dict.fromkeys(places)):
        yield from ((directory / name, name == KEY) for name in (KEY, CERTIFICATE, AUTHORITY))
    if config.passphrase_file is not None:
        yield config.resolve(config.passphrase_file), True
    urls = [config.mapping_store, config.key_store, config.cache, config.authorizer, *config.recovery_key_stores]
    for url in filter(None, [*urls, *(notifier.url for notifier in config.notifier_settings)]):
        for name, source in Location.parse(url).options.items():
            if name.endswith("-source") and source.startswith("file:"):
                yield Path(source.removeprefix("file:").removeprefix("//")), True


def check_files(config: Config, *, root_reads: bool) -> abc.Iterator[Unsafe]:
    """What is wrong with each of these files that is there, and with the directory of the agent's socket. `root_reads`
    as of `check_directory`."""
    for path, secret in granting_files(config):
        try:
            if path.exists():
                check_file(path, secret=secret, root_reads=root_reads)
        except Unsafe as unsafe:
            yield unsafe
    if config.agent_socket is not None:
        try:
            with contextlib.suppress(FileNotFoundError):
                check_directory(config.resolve(config.agent_socket).parent, root_reads=root_reads)
        except Unsafe as unsafe:
            yield unsafe


def require_safe_files(config: Config, *, root_reads: bool = False) -> None:
    """Raises ConfigurationError for the first file that is not safe. `root_reads` as of `check_directory`: for
    commands, since what serves writes too."""
    for unsafe in check_files(config, root_reads=root_reads):
        raise ConfigurationError(unsafe.problem, hint=unsafe.hint)


def master_client(config: Config, *, patient: bool = True) -> MasterClient:
    """This machine's way to the master secret server. Renews its certificate when that is due. When it is `patient`, a
    request waits while no server is active and a standby may take over."""

    def find() -> str:
        with contextlib.closing(open_mapping_store(config)) as store:
            return _url_in_lease(store)

    patience = config.lease.total_seconds() + TAKING_OVER_SECONDS if patient else 0.0
    client = MasterClient(config.masters, identity(config), config.system_id, _quietly(find), patience)
    client.keep_certificate()
    return client


def _url_in_lease(store: MappingStore) -> str:
    lease = store.lease()
    return lease.url if lease else ""


def _quietly(find: abc.Callable[[], str]) -> abc.Callable[[], str]:
    def found() -> str:
        try:
            return find()
        except KeysvcError:
            return ""

    return found


def master_renewal(config: Config, member: Member, context: ssl.SSLContext) -> Renewal:
    """Of the certificate that this master secret server serves with, in `context`: by the active one, be
    it this one or another."""
    from keysvc.crypto import certificates
    from keysvc.web.tls.renewal import Renewal

    files = IdentityFiles(config.resolve(MASTER_IDENTITY))

    def renew() -> tuple[bytes, SecretBytes]:
        try:
            identities = member.active.identities
        except NotActive as standby:
            with contextlib.closing(
                MasterClient([standby.active or config.own_url], files, config.system_id)
            ) as client:
                return client.renew()
        peer = files.peer()
        request, key = certificates.request(peer.name)
        return identities.renew_own(peer, request), key

    def replaced() -> None:
        with contextlib.suppress(KeysvcError):  # a standby shows it when it polls
            member.active.identities.admit(files.peer())

    return Renewal(files, context, renew, replaced)


def agent_client(config: Config) -> AgentClient:
    """This machine's way to its agent."""
    from keysvc.web.agent.client import AgentClient

    return AgentClient(f"https://{config.agent}", identity(config), config.system_id)


def authority(config: Config) -> KeyPair:
    """The private certificate authority. Raises ConfigurationError on any machine but the master secret server."""
    if config.authority is None:
        raise ConfigurationError(
            f"{config.path} names no authority: this is not the master secret server", hint=OF_A_MASTER
        )
    try:
        return IdentityFiles(config.resolve(config.authority)).key_pair()
    except ConfigurationError as error:
        raise ConfigurationError(str(error), hint=AUTHORITY_LOST) from None


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """Where a master secret server keeps the certificate authority, the same on each of them."""

    config: Config

    @property
    def _files(self) -> IdentityFiles:
        return IdentityFiles(self.config.resolve(self.config.authority or "authority"))

    def is_here(self) -> bool:
        """Whether the key is on this machine, of the authority under which this machine was enrolled."""
        if not (self._files.directory / KEY).exists():
            return False
        return self._files.certificate() == IdentityFiles(self.config.resolve(MASTER_IDENTITY)).authority()

    def keep(self, key: SecretBytes) -> None:
        """Durably, with the certificate that this machine was enrolled under."""
        certificate = (self.config.resolve(self.config.identity) / AUTHORITY).read_bytes()
        self._files.write(certificate, key, certificate)


@contextlib.contextmanager
def _closing(part: Part) -> abc.Iterator[Part]:
    """Close a part of a service. One that fails in this has done its work: the service ends as well as without."""
    try:
        yield part
    finally:
        try:
            part.close()
        except KeysvcError as error:
            log.warning("a part could not be closed", problem=str(error), hint=error.hint)


def _require_unchanged(config: Config) -> None:
    """Raises ConfigurationError, as after a reseal, which moved the versions elsewhere."""
    if configuration.load(Path(config.path)).needs_restart(config):
        raise ConfigurationError(
            f"{config.path} was changed meanwhile", hint="stop keysvc serve here and start it again"
        )


@contextlib.contextmanager
def opened_member(
    config: Config,
    prompt: Prompt,
    *,
    changed: abc.Callable[[], None],
    failed: abc.Callable[[KeysvcError], None],
    silent: Silent,
    notifiers: Notifiers,
) -> abc.Iterator[Member]:
    """Open this machine's master secret server, active or standby, not started. It is stopped at the end, and what it
    uses is closed, `notifiers` too. `changed` and `failed` as of `Member`; `silent` as of `Term.keep`."""
    from keysvc.master.cluster_member import Member
    from keysvc.master.service import MasterSecretServer
    from keysvc.master.standby import Standby

    plugin_failures: deque[PluginFailure] = deque(maxlen=MOST_PLUGIN_FAILURES)  # told once this one is active
    tell_of_plugins(config, plugin_failures.append)
    with contextlib.ExitStack() as opened:
        store = opened.enter_context(_closing(open_mapping_store(config)))
        store.prepare()
        if store.system() is None:
            raise NotConfigured(f"the mapping store {store.info().url} holds no system")
        protectors = opened.enter_context(_closing(open_protectors(config, prompt)))
        files = IdentityFiles(config.resolve(MASTER_IDENTITY))
        name = files.require(Role.MASTER).name
        opened.callback(notifiers.close)
        notifiers.name(config.notifier_settings)
        standby = Standby(
            store,
            protectors,
            AuthorityFiles(config),
            lambda url: MasterClient([url], files, config.system_id, schema_version=newest_schema()),
            name=name,
            url=config.own_url,
            poll_interval=config.polling,
            lost_sight=lambda: member.look_soon(),  # noqa: PLW0108  member is not made yet
        )

        def make_master() -> MasterSecretServer:
            _require_unchanged(config)
            return MasterSecretServer(
                store,
                protectors,
                authority(config),
                poll_interval=config.polling,
                lease_ttl=config.lease,
                rotate_every=config.rotate_every,
                subscriptions=notifiers.subscriptions,
                name=name,
                url=config.own_url,
                secrets=standby.secrets,
                changed=changed,
                silent=silent,
                plugin_failures=plugin_failures,
            )

        member = Member(store, standby, make_master, lease_ttl=config.lease, changed=changed, failed=failed)
        opened.callback(member.stop)
        yield member


def _open_sealed_cache(config: Config) -> SealedCache | None:
    if config.cache is None:
        return None
    from keysvc.sso.sealed_cache import SealedCache

    return SealedCache(open_key_store_at(config, config.cache, no_prompt), config.cache_age)


def open_sso(config: Config) -> SSO:
    """An SSO server in this process."""
    from keysvc.sso import SSO

    with contextlib.ExitStack() as opened:  # is closed when the rest fails
        store = opened.enter_context(contextlib.closing(open_mapping_store(config)))
        peer = verified(config, store)
        find = _quietly(lambda: _url_in_lease(store))
        client = MasterClient(config.masters, identity(config), config.system_id, find, schema_version=newest_schema())
        authorizer = open_authorizer(config)
        if authorizer is not None:
            opened.callback(authorizer.close)
        sso = SSO(
            store,
            client,
            peer.name,
            long_poll=config.long_poll,
            sealed=_open_sealed_cache(config),
            authorizer=authorizer,
            role=peer.role,
        )
        opened.pop_all()
        return sso


def connect(config: str | Path | None = None) -> SSO:
    """An SSO server in this process: the way in for applications.

    `config` is the path of a keysvc.toml; without it KEYSVC_CONFIG or the platform's default place counts. Raises
    NotConfigured, ConfigurationError, MappingStoreUnavailable. It does not raise while the master secret server is
    down: calls that need it do.
    """
    settings = configuration.load(Path(config) if config is not None else None)
    require_safe_files(settings)
    return open_sso(settings)


def shareable_mapping_store(config: Config) -> str:
    """The mapping store's URL for a machine that joins: without a password, which that machine must be given itself."""
    return Location.parse(config.mapping_store).without_secrets()


def write_identity(directory: Path, pair: KeyPair, authority_certificate: bytes) -> None:
    """Keep a certificate and its key."""
    IdentityFiles(directory).write(pair.certificate, SecretBytes(pair.key.reveal()), authority_certificate)
