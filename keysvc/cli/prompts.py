"""Secrets from the operator: from a file, the environment or the terminal, never from an argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keysvc.errors import ConfigurationError, InvalidInput
from keysvc.text import NoText, read_text

if TYPE_CHECKING:
    from keysvc.installation.config import Config
    from keysvc.model import SecretText
    from keysvc.plugin.interfaces import Prompt


def passphrase(
    what: str,
    file: Path | None,
    *,
    variable: str = "KEYSVC_PASSPHRASE",
    option: str = "--passphrase-file",
    new: bool = False,
) -> SecretText:
    """From the file, else the environment, else the terminal. A `new` one, which is to seal something, is typed twice
    and must be long enough. Raises InvalidInput where nobody can be asked."""
    from keysvc.model import SecretText

    if file is not None:
        try:
            text = read_text(file).rstrip("\r\n")
        except (OSError, NoText) as error:
            raise InvalidInput(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    elif variable in os.environ:
        text = os.environ[variable]
    elif sys.stdin.isatty():
        import typer

        try:
            text = typer.prompt(f"The {what}", hide_input=True, confirmation_prompt=new, err=True)
        except typer.Abort:
            raise InvalidInput(f"the {what} was not given") from None
    else:
        raise InvalidInput(f"the {what} is needed", hint=f"give {option} FILE, or set {variable}")
    if not text:
        raise InvalidInput(f"the {what} is empty")
    found = SecretText(text)
    if new:
        from keysvc.plugin.sealed import check_new_passphrase

        check_new_passphrase(found, what)
    return found


def warn_of_work(factor: int | None, what: str) -> None:
    """Say before a passphrase is tried that this takes long, when it does: `factor` is log2 of scrypt's N."""
    from keysvc.cli.output import warn
    from keysvc.crypto import age

    if factor is not None and factor > age.WORK_FACTOR:
        times, memory = 1 << (factor - age.WORK_FACTOR), age.memory_mib(factor)
        warn(f"opening {what} takes {times} times as long as usual, and {memory:,} MiB: its work factor is 2^{factor}")


def key_store_prompt(config: Config, of: str = "the key store") -> Prompt:
    """How a key store asks for what it needs."""

    def prompt(what: str) -> SecretText:
        if what == "shares":
            raise ConfigurationError("shares are asked for by keysvc secret recover --from-shares alone")
        file = config.resolve(config.passphrase_file) if config.passphrase_file else None
        return passphrase(f"{what} of {of}", file, variable="KEYSVC_KEY_STORE_PASSPHRASE")

    return prompt
