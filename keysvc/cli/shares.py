"""The ceremonies of `keysvc secret shares` and `keysvc secret recover --from-shares`: people, paper, a terminal."""

from __future__ import annotations

import sys
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from keysvc.errors import ConfigurationError, InvalidInput
from keysvc.text import NoText, read_text

if TYPE_CHECKING:
    from keysvc.installation.config import Config
    from keysvc.model import SecretText
    from keysvc.plugin.interfaces import Prompt
    from keysvc.stores.slip39 import Share

CLEAR = "\033[2J\033[3J\033[H"


def make(threshold: int, count: int, directory: Path, files: Path | None) -> str:
    """A new root, shared and forgotten. Returns the URL of its key store once every share was confirmed."""
    import secrets

    from keysvc.model import SecretBytes
    from keysvc.stores import slip39
    from keysvc.stores.shares_sealer import public_key_of

    root = SecretBytes(secrets.token_bytes(slip39.ROOT_BYTES))
    texts = slip39.split(root, threshold, count)
    if files is None:
        _require_terminal("shares are shown on a terminal alone, or written with --to-files DIR")
        confirmed = [_shown_and_typed_back(text, number, count) for number, text in enumerate(texts, 1)]
    else:
        confirmed = _written_and_read_back(texts, files)
    for first in range(count - threshold + 1):
        if slip39.combine(confirmed[first : first + threshold]) != (root, ()):
            raise InvalidInput("the shares as they were confirmed do not give their root", hint="make new ones")
    return f"shares://{directory}?public-key={public_key_of(root)}"


def _require_terminal(why: str) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput(why)


def _shown_and_typed_back(text: SecretText, number: int, count: int) -> Share:
    from keysvc.stores import slip39

    words = text.reveal().split()
    rows = [words[start : start + 3] for start in range(0, len(words), 3)]
    typer.echo(f"{CLEAR}Share {number} of {count}. Write it down; it is shown this once.\n")
    for row, three in enumerate(rows):
        typer.echo("   ".join(f"{row * 3 + place:2} {word:<9}" for place, word in enumerate(three, 1)))
    typer.prompt("\nPress Enter when it is written down", default="", show_default=False, hide_input=True)
    typer.echo(CLEAR)
    while True:
        typed = _typed(f"Type share {number} back from the paper")
        wrong = [place for place, pair in enumerate(zip(typed.split(), words, strict=False), 1) if pair[0] != pair[1]]
        if len(typed.split()) == len(words) and not wrong:
            return slip39.parse(text)
        places = f"word {', '.join(map(str, wrong))} is another" if wrong else f"it has {len(words)} words"
        typer.echo(f"that is not share {number}: {places}. Correct the paper; Ctrl-C gives up, and nothing counts")


def _typed(what: str) -> str:
    return str(typer.prompt(what, hide_input=True)).lower()


def _written_and_read_back(texts: abc.Sequence[SecretText], directory: Path) -> list[Share]:
    from keysvc.plugin.safe_files import create_directory, create_durably

    paths = [directory / f"share-{number}-of-{len(texts)}.txt" for number in range(1, len(texts) + 1)]
    written: list[Path] = []
    try:
        create_directory(directory)
        if taken := [path for path in paths if path.exists()]:
            raise InvalidInput(f"{taken[0]} exists, and a share never overwrites a file", hint="name another directory")
        for path, text in zip(paths, texts, strict=True):
            written.append(path)
            create_durably(path, text.reveal().encode() + b"\n")
        return from_files(paths)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise InvalidInput(f"{directory}: {error.strerror or type(error).__name__}") from None


def from_files(paths: abc.Iterable[Path]) -> list[Share]:
    """Shares that files hold. Raises InvalidInput, which names the file that is wrong."""
    from keysvc.model import SecretText
    from keysvc.stores import slip39

    shares: list[Share] = []
    for path in paths:
        try:
            shares.append(slip39.parse(SecretText(read_text(path)), shares))
        except InvalidInput as error:
            raise InvalidInput(f"{path}: {error}", hint=error.hint) from None
        except (OSError, NoText) as error:
            raise InvalidInput(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return shares


def key_store_of(config: Config, named: str | None) -> str:
    """The URL of the key store that the shares open."""
    found = [url for url in config.recovery_key_stores if url.startswith("shares:")] if named is None else [named]
    if len(found) != 1:
        raise ConfigurationError(
            f"{config.path} names {len(found) or 'no'} shares: key stores",
            hint="say which: --from 'shares:///DIRECTORY'",
        )
    return found[0]


def prompt_for(files: abc.Sequence[Path] | None) -> Prompt:
    """How a shares key store gets its shares: from files, or from their holders one by one. Asked once."""
    from keysvc.model import SecretText
    from keysvc.stores import slip39

    held: list[SecretText] = []

    def prompt(_what: str) -> SecretText:
        if not held:
            shares = from_files(files) if files else _collected()
            wrong = slip39.combine(shares)[1]
            for number in wrong:
                typer.echo(f"warning: share {number} was changed; the others open it", err=True)
            right = [share for share in shares if share.number not in wrong]
            held.append(SecretText("\n".join(slip39.text_of(share).reveal() for share in right)))
        return held[0]

    return prompt


def _collected() -> list[Share]:
    """Ask until there are enough that belong together; one that is wrong is said and asked for again."""
    from keysvc.model import SecretText
    from keysvc.stores import slip39

    _require_terminal("shares are typed on a terminal, or read with --share-file FILE")
    shares: list[Share] = []
    while True:
        of = f" of {shares[0].threshold}" if shares else ""
        try:
            shares.append(slip39.parse(SecretText(_typed(f"Share {len(shares) + 1}{of}")), shares))
            if len(shares) >= shares[0].threshold:
                slip39.combine(shares)
                return shares
        except InvalidInput as error:
            typer.echo(f"not good: {error}; {error.hint}", err=True)
