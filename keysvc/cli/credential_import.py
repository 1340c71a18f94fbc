"""keysvc credential import"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.credential import app
from keysvc.cli.output import print_json, print_table, progress
from keysvc.cli.prompts import passphrase, warn_of_work
from keysvc.cli.shared import ConfigOption, JsonOption, PassphraseFileOption, as_text, load, read_file
from keysvc.errors import InvalidInput, KeysvcError
from keysvc.plugin.logs import log_nothing

if TYPE_CHECKING:
    from keysvc.sso import SSO
    from keysvc.sso.credential_writer import NewCredential


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON lines, or - for standard input.")],
    config: ConfigOption = None,
    passphrase_file: PassphraseFileOption = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The age or SSH key that opens FILE.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and store nothing.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="A line is the whole credential: fields that it lacks are deleted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Encrypt and store many credentials. One fault, and none is stored; a second time changes nothing.

    A column or cell that is absent or empty changes nothing. --dry-run lists the values that would be lost.

    FILE may be encrypted with age, for a passphrase or a key. Destroy it afterwards: keysvc needs it no more.

    \b
    keysvc credential import credentials.csv.age --dry-run
    keysvc credential import credentials.jsonl
    """
    from keysvc.installation import assembly

    content, source = _read(file, passphrase_file, key)
    settings = load(config)
    log_nothing()
    with assembly.open_sso(settings) as sso:
        found, lost = _import(sso, content, source, dry_run, replace)
    if as_json:
        print_json({"dry_run": dry_run, "applications": found, "lost": lost})
        return
    columns = ("application", "created", "updated", "unchanged")
    print_table(columns, [(name, *counts.values()) for name, counts in found.items()], empty="no credentials")
    if dry_run:
        for each in lost:
            typer.echo(f"would be lost: {each}")
    typer.echo("nothing was stored: --dry-run" if dry_run else f"stored; now destroy {source} if it is not encrypted")


def _read(file: Path, passphrase_file: Path | None, key: Path | None) -> tuple[bytes, str]:
    from keysvc.crypto import age
    from keysvc.model import SecretBytes

    content, source = read_file(file)
    if not age.is_encrypted(content):
        if key is not None:
            raise InvalidInput(f"{source} is not encrypted with age", hint="leave --key out")
        return content, source
    if key is not None:
        return age.decrypt_with_key(content, SecretBytes(as_text(*read_file(key)).encode()), source), source
    warn_of_work(age.work_factor(content, source), source)
    return age.decrypt(content, passphrase(f"passphrase of {source}", passphrase_file), source), source


def _import(
    sso: SSO, content: bytes, source: str, dry_run: bool, replace: bool
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """The counts by application, and the values that are lost.
    Everything is gone through once before anything is stored."""
    from keysvc.sso.credential_files import prepared, read_lines

    news = prepared(read_lines(content, source), source, sso.application, sso.names)
    checked = _store(sso, news, "checking", dry_run=True, replace=replace)
    return checked if dry_run else _store(sso, news, "storing", dry_run=False, replace=replace)


def _store(
    sso: SSO, news: dict[str, list[NewCredential]], what: str, *, dry_run: bool, replace: bool
) -> tuple[dict[str, dict[str, int]], list[str]]:
    faults: list[KeysvcError] = []
    lost: list[str] = []
    total, done = sum(map(len, news.values())), 0
    found = {}
    with progress(what, total) as show:
        for application, credentials in news.items():
            counts = {"created": 0, "updated": 0, "unchanged": 0}
            try:
                for stored in sso.store_credentials(application, credentials, dry_run=dry_run, replace_all=replace):
                    counts["created"] += stored.created
                    counts["updated"] += stored.updated
                    counts["unchanged"] += stored.unchanged
                    lost += (f"{application} / {each}" for each in stored.lost)
                    show(done + sum(counts.values()))
            except InvalidInput as error:
                if not dry_run:
                    raise
                faults.append(error)
            done += len(credentials)
            found[application] = counts
    if faults:
        raise InvalidInput.of_all(faults)
    return found, lost
