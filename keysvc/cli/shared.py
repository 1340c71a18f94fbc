"""What several commands share: options, the configuration, ways to the system."""

from __future__ import annotations

import contextlib
import sys
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.errors import ConfigurationError, InvalidInput
from keysvc.text import NoText, decoded, read_bytes

if TYPE_CHECKING:
    from keysvc.installation.config import Config
    from keysvc.plugin.interfaces import MappingStore
    from keysvc.sso.administration import Administration
    from keysvc.web.master.client import MasterClient

ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="PATH", help="Configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="Read the passphrase from FILE; else KEYSVC_PASSPHRASE."),
]


def without_secret(url: str | None) -> str | None:
    """Check a URL that is given as an argument. Raises InvalidInput, which does not show it, when a secret is in it.
    Who opens the URL refuses it when it is none."""
    from keysvc.plugin.location import Location

    with contextlib.suppress(ConfigurationError):
        if url is not None and Location.parse(url).holds_secret:
            raise InvalidInput(
                "this URL holds a secret, and every account of this machine can read the arguments of a command",
                hint="let the URL say where the secret is: ?password-source=file:/PATH; and change that password",
            )
    return url


def load(path: Path | None) -> Config:
    """The configuration. Raises NotConfigured; ConfigurationError, also for a file that others may write or read."""
    from keysvc.installation import assembly, config

    found = config.load(path)
    assembly.require_safe_files(found, root_reads=True)
    return found


until_the_end = contextlib.ExitStack()
"""What the running command opened. It is closed when the command ends: done, refused or interrupted."""


def open_store(config: Config) -> MappingStore:
    """Open the mapping store until the end of the command. Raises MappingStoreUnavailable."""
    from keysvc.installation.assembly import open_mapping_store

    return until_the_end.enter_context(contextlib.closing(open_mapping_store(config)))


def administration(path: Path | None, *, changing: bool = True) -> Administration:
    """Open the mapping store until the end of the command, as this machine's identity. Changes need an SSO
    administrator's; an SSO server may read. The identity is verified as a server would."""
    from keysvc.installation import assembly
    from keysvc.model import Role
    from keysvc.sso.administration import Administration

    config = load(path)
    roles = (Role.ADMINISTRATOR,) if changing else (Role.ADMINISTRATOR, Role.SERVER)
    store = open_store(config)
    peer = assembly.verified(config, store, *roles)
    return Administration(store, peer.name, peer.role)


def require_administrator(config: Config) -> str:
    """The name of this machine's identity, verified as a server would. Raises ConfigurationError, AccessDenied,
    Revoked unless it is an SSO administrator's."""
    from keysvc.installation.assembly import verified
    from keysvc.model import Role

    with contextlib.closing(open_store(config)) as store:
        return verified(config, store, Role.ADMINISTRATOR).name


def with_the_stores_rights(config: Config) -> str:
    """The actor of a command that needs no certificate, only the login to the mapping store; says so."""
    from keysvc.cli.output import warn
    from keysvc.master.events import STORE_RIGHTS

    warn(f"no certificate is checked: {config.path} has the login to the mapping store, and the audit says so")
    return STORE_RIGHTS


@contextlib.contextmanager
def administrator(config: Config) -> abc.Iterator[MasterClient]:
    """An SSO administrator's way to the master secret server."""
    from keysvc.installation.assembly import identity, master_client
    from keysvc.model import Role

    identity(config).require(Role.ADMINISTRATOR)  # which the master secret server verifies
    with contextlib.closing(master_client(config)) as client:
        yield client


def read_file(path: Path) -> tuple[bytes, str]:
    """The content of an input file, or of standard input for `-`, and its name. Raises InvalidInput."""
    source = "standard input" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            return read_bytes(sys.stdin.buffer), source
        with path.open("rb") as file:
            return read_bytes(file), source
    except OSError as error:
        raise InvalidInput(f"{source}: {error.strerror}", hint="give the path of a readable file, or -") from None


def as_text(content: bytes, source: str) -> str:
    """Return what `read_file` read as text, without a byte order mark. Raises InvalidInput."""
    try:
        return decoded(content)
    except NoText as error:
        raise InvalidInput(f"{source}: {error}") from None
