"""What `keysvc init` does: makes a directory into a configured master secret server. Run again, it goes on."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections import abc
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keysvc.crypto import certificates
from keysvc.errors import AlreadyConfigured, ConfigurationError, InvalidInput, KeyStoreError, KeysvcError
from keysvc.installation import config as configuration
from keysvc.installation.assembly import authority, open_mapping_store, open_protectors, write_identity
from keysvc.installation.config import FILE_NAME, Config
from keysvc.master import lifecycle
from keysvc.model import Identity, MasterSecret, NameRule, Role, host_name, utc_now
from keysvc.plugin.interfaces import Prompt
from keysvc.plugin.safe_files import Unsafe, create_directory, write_durably
from keysvc.web.tls.identity_files import MASTER_IDENTITY, IdentityFiles

ADMINISTRATOR, MASTER = "administrator", "master"


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What an SSO administrator may choose; None takes the embedded default under the directory."""

    key_store: str | None = None
    mapping_store: str | None = None
    listen: str = "127.0.0.1:7443"
    poll_interval: str = "30s"
    lease_ttl: str = "15s"
    authority: Path | None = None
    advertise: str | None = None
    names: NameRule = NameRule.FOLDED


@dataclass(frozen=True, slots=True)
class InitResult:
    """A configured system: version 1 of its master secret, and the `root` that sealed it, for people."""

    config: Config
    secret: MasterSecret
    root: str


def install(directory: Path, wishes: InitOptions, prompt: Prompt) -> InitResult:
    """Write the configuration and the certificates, then generate version 1: the last step makes the system exist.

    Raises AlreadyConfigured, ConfigurationError, and what the stores raise.
    """
    path = directory.absolute() / FILE_NAME
    if path.exists():
        return _configure(configuration.load(path), prompt, wishes.names)
    given = _given_authority(wishes.authority)
    write_configuration(path, wishes, secrets.token_hex(16))
    with taken_back_on(path.parent, KeysvcError):
        config = configuration.load(path)
        if given is not None:
            at = IdentityFiles(config.resolve(config.authority or "authority"))
            at.write(given.certificate, given.key, given.certificate)
        with contextlib.closing(open_mapping_store(config)) as store:
            store.prepare()
    # not on MappingStoreError: the system may have come to exist
    with taken_back_on(path.parent, AlreadyConfigured, ConfigurationError, InvalidInput, KeyStoreError):
        return _configure(config, prompt, wishes.names)


@contextlib.contextmanager
def taken_back_on(directory: Path, *errors: type[KeysvcError]) -> abc.Iterator[None]:
    """The directory was empty before, and no system came to exist: the same command, corrected, must find it so."""
    try:
        yield
    except errors:
        for entry in directory.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        raise


def _configure(config: Config, prompt: Prompt, names: NameRule) -> InitResult:
    store = open_mapping_store(config)
    try:
        store.prepare()
        if (system := store.system()) is not None:
            raise AlreadyConfigured(f"the mapping store of {config.path} holds system {system.system_id} already")
        identities = make_identities(config)
        key_store = open_protectors(config, prompt)
        try:
            secret = lifecycle.configure(store, key_store, config.system_id, *identities, names=names)
            return InitResult(config, secret, key_store.info().root)
        finally:
            key_store.close()
    finally:
        store.close()


def _given_authority(directory: Path | None) -> certificates.KeyPair | None:
    """Bring your own: a directory with certificate.pem and key.pem. Checked before anything is written."""
    if directory is None:
        return None
    try:
        given = IdentityFiles(directory).key_pair()
    except ConfigurationError as error:
        hint = "give --authority a directory with certificate.pem and key.pem"
        raise ConfigurationError(str(error), hint=hint) from None
    certificates.check_authority(given, now=utc_now())
    return given


def write_configuration(path: Path, wishes: InitOptions, system_id: str) -> None:
    """In a directory that is new or empty. Raises ConfigurationError."""
    directory = path.parent
    settings = {
        "system_id": system_id,
        "mapping_store": wishes.mapping_store or f"sqlite:///{directory / 'keysvc.db'}",
        "key_store": wishes.key_store or (directory / "secret").as_uri(),
        "listen": wishes.listen,
        "master": wishes.advertise or configuration.url_of(wishes.listen),
        **({"advertise": wishes.advertise} if wishes.advertise else {}),
        "authority": "authority",
        "identity": "identity",
        "poll_interval": wishes.poll_interval,
        "lease_ttl": wishes.lease_ttl,
    }
    try:
        create_directory(directory)
        if any(directory.iterdir()):
            raise ConfigurationError(f"{directory} is not empty", hint="give --dir a new or an empty directory")
        write_durably(path, configuration.dump(settings).encode())
    except Unsafe as unsafe:
        raise ConfigurationError(unsafe.problem, hint=unsafe.hint) from None
    except OSError as error:
        raise ConfigurationError(f"{directory}: {error.strerror or type(error).__name__}") from None


def make_identities(config: Config) -> tuple[Identity, Identity]:
    """The authority, the certificate that the master serves with, and the first administrator's."""
    now = utc_now()
    at = IdentityFiles(config.resolve(config.authority or "authority"))
    if not (at.directory / "certificate.pem").exists():
        made = certificates.create_authority(config.system_id, now=now)
        at.write(made.certificate, made.key, made.certificate)
    pair = authority(config)
    hosts = [host_name(Role.MASTER, config.system_id)]
    master = certificates.issue(pair, MASTER, Role.MASTER, now=now, hosts=hosts, system_id=config.system_id)
    write_identity(config.resolve(MASTER_IDENTITY), master, pair.certificate)
    administrator = certificates.issue(pair, ADMINISTRATOR, Role.ADMINISTRATOR, now=now, system_id=config.system_id)
    write_identity(config.resolve(config.identity), administrator, pair.certificate)
    return (
        _enrolled(ADMINISTRATOR, Role.ADMINISTRATOR, administrator.certificate, now),
        _enrolled(MASTER, Role.MASTER, master.certificate, now),
    )


def _enrolled(name: str, role: Role, certificate: bytes, now: datetime) -> Identity:
    return Identity(name, role, certificates.serial(certificate), now, expires_at=certificates.not_after(certificate))
