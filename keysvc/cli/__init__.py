"""The command line. Each module adds one group; heavy modules are imported only when a command runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from keysvc import __version__
from keysvc.cli import (
    applications,
    audit,
    cluster,
    config_store,
    credential,
    credential_import,
    demonstration,
    entsso,
    mapping,
    mapping_store,
    notify,
    plugin,
    role,
    running,
    secret,
    server,
    setting_up,
    status,
    system,
    ticket,
    user,
)
from keysvc.errors import KeysvcError

app = typer.Typer(
    name="keysvc",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demonstration, setting_up, running, status, entsso):
    module.add_to(app)
app.add_typer(secret.app, name="secret")
app.add_typer(applications.app, name="app")
app.add_typer(mapping.app, name="mapping")
app.add_typer(mapping_store.app, name="mapping-store")
credential.app.command("import")(credential_import.import_)
app.add_typer(credential.app, name="credential")
app.add_typer(ticket.app, name="ticket")
app.add_typer(config_store.app, name="config-store")
app.add_typer(server.app, name="server")
app.add_typer(user.app, name="user")
app.add_typer(role.app, name="role")
app.add_typer(cluster.app, name="cluster")
app.add_typer(system.app, name="system")
app.add_typer(audit.app, name="audit")
app.add_typer(notify.app, name="notify")
app.add_typer(plugin.app, name="plugin")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keysvc {__version__}")
        raise typer.Exit


@app.callback()
def keysvc(
    config: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Configuration file; also after any command, or KEYSVC_CONFIG.")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Guard a master secret, and keep with it the credentials that applications sign on with.

    \b
    Begin with:   keysvc demo
    Then:         keysvc init --dir DIR   and   keysvc --config DIR/keysvc.toml serve
    """
    if config is not None:
        os.environ["KEYSVC_CONFIG"] = str(config)


def main() -> None:
    """The console script. Exit status 0 done, 1 refused or failed, 2 wrong usage."""
    try:
        _add_commands_of_plugins()
        app()
    except KeysvcError as error:
        sys.exit(_say(error.code, str(error), error.hint))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("KEYSVC_TRACEBACK"):
            raise
        sys.exit(_say("internal", f"{type(error).__name__}", "set KEYSVC_TRACEBACK=1, run it again and report this"))


def _say(code: str, what: str, hint: str) -> int:
    typer.echo(f"error: {code}: {what}; {hint}", err=True)
    return 1


def _add_commands_of_plugins() -> None:
    """Looking for plugins costs more than a command; none is looked for when no foreign one is installed."""
    import importlib.metadata

    foreign = [e for e in importlib.metadata.entry_points(group="keysvc") if e.dist and e.dist.name != "keysvc"]
    if foreign:
        from keysvc.assembly import plugins

        plugins().add_commands(app)
