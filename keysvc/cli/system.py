"""keysvc system"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keysvc.cli.output import print_json
from keysvc.cli.shared import ConfigOption, JsonOption, administration, load, open_store, require_administrator

app = typer.Typer(rich_markup_mode=None)


@app.command()
def enable(config: ConfigOption = None) -> None:
    """Allow lookups and changes again.

    \b
    keysvc system enable
    """
    _switch(config, enabled=True)


@app.command()
def disable(config: ConfigOption = None) -> None:
    """Refuse every look-up and every change, at all SSO servers within one poll interval, until it is enabled again.

    The master secret is kept, rotated and backed up as before.

    \b
    keysvc system disable
    """
    _switch(config, enabled=False)


@app.command("names")
def names_(
    rule: Annotated[str, typer.Argument(metavar="folded")],
    config: ConfigOption = None,
) -> None:
    """Make names that differ in upper and lower case alone one name, for good. Refused while there are such twins,
    which are listed: delete or rename one of each.

    \b
    keysvc system names folded
    """
    from keysvc.errors import Conflict
    from keysvc.master.switch import fold_names

    if rule != "folded":
        raise typer.BadParameter("names can be made folded alone")
    settings = load(config)
    actor = require_administrator(settings)
    twins = fold_names(open_store(settings), actor)
    for each in twins:
        typer.echo(each)
    if twins:
        raise Conflict(
            f"{len(twins)} names are there in two spellings: nothing was changed",
            hint="delete the one that nobody uses: keysvc mapping delete APP USER, keysvc app delete APP",
        )
    typer.echo(f"names are {rule}: upper and lower case are the same within one poll interval")


def _switch(config: Path | None, *, enabled: bool) -> None:
    from keysvc.master.switch import switch_system

    settings = load(config)
    actor = require_administrator(settings)
    switch_system(open_store(settings), actor, enabled=enabled)
    typer.echo("enabled" if enabled else "disabled: look-ups and changes are refused within one poll interval")


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the system's settings. `keysvc app import` changes them, from Enterprise SSO's global info.

    \b
    keysvc system show
    """
    from dataclasses import asdict

    system = administration(config, changing=False).store.system()
    if system is None:
        return
    if as_json:
        print_json(system)
        return
    typer.echo(f"{'system id':<34}{system.system_id}")
    for key, value in asdict(system.settings).items():
        typer.echo(f"{key.replace('_', ' '):<34}{('yes' if value else 'no') if isinstance(value, bool) else value}")
