"""keysvc cluster"""

from __future__ import annotations

from typing import Annotated

import typer

from keysvc.cli.output import print_json
from keysvc.cli.shared import ConfigOption, JsonOption, load
from keysvc.cli.status import read, show_standbys

app = typer.Typer(rich_markup_mode=None)


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show which master secret server is active, and which standbys are ready to take over.

    \b
    keysvc cluster status
    keysvc cluster status --json | jq '.standbys[] | select(.ready | not)'
    """
    import msgspec

    found = read(load(config))
    if as_json:
        standbys = msgspec.to_builtins(found.standbys)
        print_json({"active": found.master, "url": found.master_url, "epoch": found.epoch, "standbys": standbys})
        return
    typer.echo(f"active  {found.master_url or 'none'}, {found.master or 'nobody holds the lease'}, epoch {found.epoch}")
    show_standbys(found)


@app.command()
def step_down(
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Even when no standby is ready.")] = False,
) -> None:
    """Hand over to a standby that is ready: no look-up and no encryption fails.

    \b
    keysvc cluster step-down
    """
    import time

    from keysvc.errors import KeysvcError
    from keysvc.installation import assembly
    from keysvc.model import Role

    settings = load(config)
    assembly.identity(settings).require(Role.ADMINISTRATOR, Role.MASTER)
    client = assembly.master_client(settings)
    try:
        before = client.status()
        client.step_down(force=force)
        deadline = time.monotonic() + settings.lease.total_seconds() + 5
        while time.monotonic() < deadline:
            try:
                now = client.status()
            except KeysvcError:
                time.sleep(0.1)
                continue
            if now.epoch > before.epoch:
                typer.echo(f"{now.master_url} is the master secret server now, epoch {now.epoch}")
                return
            time.sleep(0.1)
        typer.echo("stepped down; no other has taken over yet: keysvc cluster status", err=True)
        raise typer.Exit(1)
    finally:
        client.close()
