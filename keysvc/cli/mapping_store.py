"""keysvc mapping-store"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from keysvc.cli.output import print_json, progress
from keysvc.cli.shared import ConfigOption, JsonOption, load, open_store, with_the_stores_rights, without_secret

app = typer.Typer(rich_markup_mode=None)


@app.callback()
def mapping_store() -> None:
    """The mapping store as a whole."""


@app.command()
def migrate(
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="URL", callback=without_secret, help="An empty database, or one that this began to fill."
        ),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the whole system into another mapping store.

    Stop the master secret server first; lookups continue in the old store. What was copied is read back and compared.
    It can be repeated from wherever it was interrupted.

    \b
    keysvc mapping-store migrate --to postgresql://keysvc@db.example/keysvc
    """
    from keysvc.installation import config as configuration, migration

    settings = load(config)
    configuration.require_changeable(Path(settings.path))
    actor = with_the_stores_rights(settings)
    source, target = open_store(settings), open_store(replace(settings, mapping_store=to))
    rows = sum(source.rows_by_version().values())
    with progress("copying credentials", rows) as bar:
        moved = migration.migrate(source, target, actor, bar)
    configuration.change(Path(settings.path), {"mapping_store": to})
    if as_json:
        print_json({"moved": moved.counts, "digest": f"{moved.digest:064x}"})
        return
    counts = moved.counts
    typer.echo(
        f"moved {counts.get('applications', 0)} applications, {counts.get('mappings', 0):,} mappings and"
        f" {counts.get('credentials', 0):,} credentials, read back and compared"
    )
    typer.echo(f"{settings.path} names the new mapping store", err=True)
    typer.echo("now: keysvc serve here; on each SSO server set mapping_store and restart its agent", err=True)
    typer.echo("join tokens that nobody redeemed were left behind: print new ones", err=True)
