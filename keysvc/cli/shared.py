"""What several commands share: options, the configuration, secrets from the operator."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from keysvc.config import Config
    from keysvc.interfaces import MappingStore, Prompt
    from keysvc.model import SecretText
    from keysvc.sso.administration import Administration
    from keysvc.web.client import MasterClient

ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="PATH", help="Configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="Read the passphrase from FILE; else KEYSVC_PASSPHRASE."),
]


def load(path: Path | None) -> Config:
    """The configuration. Raises NotConfigured, ConfigurationError."""
    from keysvc import config

    return config.load(path)


def open_store(config: Config) -> MappingStore:
    """The mapping store. Raises NotConfigured before `keysvc init`."""
    from keysvc.assembly import open_mapping_store

    return open_mapping_store(config)


def administration(path: Path | None, *, changing: bool = True) -> Administration:
    """Changes need an SSO administrator's identity; an SSO server may read."""
    from keysvc import assembly
    from keysvc.model import Role
    from keysvc.sso.administration import Administration

    config = load(path)
    roles = (Role.ADMINISTRATOR,) if changing else (Role.ADMINISTRATOR, Role.SERVER)
    peer = assembly.identity(config).require(*roles)
    return Administration(open_store(config), peer.name)


def require_administrator(config: Config) -> str:
    """The name of this machine's identity. Raises AccessDenied unless it is an SSO administrator's."""
    from keysvc.assembly import identity
    from keysvc.model import Role

    return identity(config).require(Role.ADMINISTRATOR).name


@contextlib.contextmanager
def administrator(config: Config) -> abc.Iterator[MasterClient]:
    """An SSO administrator's way to the master secret server."""
    from keysvc.assembly import master_client

    require_administrator(config)
    with contextlib.closing(master_client(config)) as client:
        yield client


def passphrase(
    what: str,
    file: Path | None,
    *,
    variable: str = "KEYSVC_PASSPHRASE",
    option: str = "--passphrase-file",
    confirm: bool = False,
) -> SecretText:
    """From the file, else the environment, else the terminal. Raises InvalidInput where nobody can be asked."""
    from keysvc.model import SecretText

    if file is not None:
        try:
            text = file.read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{file}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None
    elif variable in os.environ:
        text = os.environ[variable]
    elif sys.stdin.isatty():
        try:
            text = typer.prompt(f"The {what}", hide_input=True, confirmation_prompt=confirm, err=True)
        except typer.Abort:
            raise InvalidInput(f"the {what} was not given") from None
    else:
        raise InvalidInput(f"the {what} is needed", hint=f"give {option} FILE, or set {variable}")
    if not text:
        raise InvalidInput(f"the {what} is empty")
    return SecretText(text)


def key_store_prompt(config: Config, of: str = "the key store") -> Prompt:
    """How a key store asks for what it needs."""

    def prompt(what: str) -> SecretText:
        if what == "shares":
            raise ConfigurationError("shares are asked for by keysvc secret recover --from-shares alone")
        file = config.resolve(config.passphrase_file) if config.passphrase_file else None
        return passphrase(f"{what} of {of}", file, variable="KEYSVC_KEY_STORE_PASSPHRASE")

    return prompt


def read_file(path: Path) -> tuple[bytes, str]:
    """The content of an input file, or of standard input for `-`, and its name. Raises InvalidInput."""
    if str(path) == "-":
        return sys.stdin.buffer.read(), "standard input"
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}", hint="give the path of a readable file, or -") from None


def log_to_stderr() -> None:
    """One line an event: for people on a terminal, JSON elsewhere. What plugins warn of looks the same."""
    import logging

    import structlog
    from structlog.stdlib import ProcessorFormatter

    ours: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    line = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*ours, line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setLevel(logging.WARNING)
    theirs.setFormatter(ProcessorFormatter(line, foreign_pre_chain=ours))
    logging.getLogger().addHandler(theirs)


def warnings_only() -> None:
    """For commands that run an SSO server for a moment: its log is not what was asked for."""
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
