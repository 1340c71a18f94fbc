"""The tree of commands. Each module adds one group; heavy modules are imported only when a command runs."""

from __future__ import annotations

import os
import sys
from collections import abc
from pathlib import Path
from typing import Annotated

import typer

from keysvc import __version__
from keysvc.cli import dev, entsso, init_and_join, running, status
from keysvc.cli.demo import command
from keysvc.cli.lazy import later
from keysvc.cli.shared import until_the_end

app = typer.Typer(
    name="keysvc",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (command, dev, init_and_join, running, status, entsso):
    module.add_to(app)
GROUPS = {
    "secret": ("secret", "The master secret: rotate, back up, restore."),
    "app": ("applications", "Affiliate applications."),
    "mapping": ("mapping", "Who is whom in which application."),
    "mapping-store": ("mapping_store", "The mapping store as a whole."),
    "credential": ("credential_import", "What applications sign on with."),
    "ticket": ("ticket", "Sign users on without their passwords."),
    "config-store": ("config_store", "Named property bags for adapters."),
    "server": ("server", "Who has a certificate: SSO servers, applications, administrators."),
    "user": ("user", "People with certificates: users and administrators."),
    "role": ("role", "Who may do what."),
    "cluster": ("cluster", "Several master secret servers, of which one is active."),
    "system": ("system", "The system as a whole."),
    "audit": ("audit", "Who did what, when, from where."),
    "notify": ("notify", "Who receives events, and what did not arrive."),
    "plugin": ("plugin", "Key stores, mapping stores and notifiers."),
}
"""The other modules, by the name of the group of commands whose `app` each has, with its help."""

for name, (at, says) in GROUPS.items():
    app.add_typer(later(f"keysvc.cli.{at}", says), name=name)


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
    Begin with:   keysvc demo   or   keysvc dev
    Then:         keysvc init --dir DIR   and   keysvc --config DIR/keysvc.toml serve
    """
    if config is not None:
        os.environ["KEYSVC_CONFIG"] = str(config)


def run() -> None:
    """The command that the arguments of this process name."""
    _add_commands_of_plugins(sys.argv[1:])
    with until_the_end:
        app()


def _add_commands_of_plugins(arguments: abc.Sequence[str]) -> None:
    """Looking for plugins costs more than most commands: none is looked for when none has commands.

    The configuration is read first: it may name the only plugins that may be imported. Which of several --config counts
    is known only when the arguments are parsed, so each of them must allow a plugin.
    """
    if _any_plugin_has_commands():
        from keysvc.installation.assembly import allowed_plugins

        allowed_plugins(*_configurations(arguments)).add_commands(app)


def _configurations(arguments: abc.Sequence[str]) -> abc.Iterator[Path]:
    """What --config names, wherever it stands."""
    for at, argument in enumerate(arguments):
        if argument == "--config" and at + 1 < len(arguments):
            yield Path(arguments[at + 1])
        elif argument.startswith("--config="):
            yield Path(argument.removeprefix("--config="))


def _any_plugin_has_commands() -> bool:
    """What importlib.metadata would say, without importing it."""
    installed = (path for place in sys.path for path in Path(place).glob("*-info/entry_points.txt"))
    return any("[keysvc.commands]" in path.read_text("utf-8", "replace") for path in installed)
