"""Where a part's secret comes from: an option `NAME-source` of its URL, as RFC 7512 has `pin-source`.

…?password-source=file:/etc/keysvc/database-password        the first line of a file
…?password-source=env:KEYSVC_DATABASE_PASSWORD              an environment variable
…?password-source=credential:database-password              LoadCredential= or LoadCredentialEncrypted= of the unit
"""

from __future__ import annotations

import os
from pathlib import Path

from keysvc.errors import ConfigurationError
from keysvc.model import SecretText
from keysvc.plugin.interfaces import Prompt
from keysvc.plugin.location import Location
from keysvc.text import NoText, read_text

CREDENTIALS = "CREDENTIALS_DIRECTORY"


def sourced(location: Location, otherwise: Prompt) -> Prompt:
    """A prompt that takes each secret from the source which the URL names for it, and else asks `otherwise`."""

    def prompt(what: str) -> SecretText:
        source = location.options.get(f"{what}-source")
        return otherwise(what) if source is None else _read(what, source)

    return prompt


def _read(what: str, source: str) -> SecretText:
    kind, _, name = source.partition(":")
    if kind == "file" and name:
        text = _first_line(what, Path(name.removeprefix("//")))
    elif kind == "env" and name:
        text = os.environ.get(name, "")
    elif kind == "credential" and name:
        text = _first_line(what, _credential(what, name))
    else:
        raise ConfigurationError(
            f"{what}-source names neither a file nor a variable nor a credential",
            hint="write file:/PATH, env:NAME or credential:NAME",
        )
    if not text:
        raise ConfigurationError(
            f"the {what} is empty: {source}", hint="put the secret there, for the service alone to read"
        )
    return SecretText(text)


def _credential(what: str, name: str) -> Path:
    """Return the file in which systemd gives the credential to this unit."""
    directory = os.environ.get(CREDENTIALS)
    if directory is None or "/" in name or name in {".", ".."}:
        raise ConfigurationError(
            f"the {what} is the credential {name}, and systemd gave this process none of that name",
            hint=f"add LoadCredential={name}:/PATH to the unit; a command outside of a unit has no credentials",
        )
    return Path(directory) / name


def _first_line(what: str, path: Path) -> str:
    try:
        return read_text(path).partition("\n")[0].rstrip("\r")
    except (OSError, NoText) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"the {what} cannot be read from {path}: {reason}") from None
