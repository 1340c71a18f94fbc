"""keysvc service, keysvc registry"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from keysvc.plugin import ConfigurationError, Location

service = typer.Typer(help="keysvc as a Windows service.", no_args_is_help=True, rich_markup_mode=None)
registry = typer.Typer(help="The key store in the Windows registry.", no_args_is_help=True, rich_markup_mode=None)
NameOption = Annotated[str, typer.Option("--name", metavar="NAME", help="Where several systems share a machine.")]


def _require_windows() -> None:
    if sys.platform != "win32":
        raise ConfigurationError("this needs Windows", hint="run it on the master secret server's Windows machine")


@service.command()
def install(
    config: Annotated[Path, typer.Option(metavar="PATH", help="The configuration that keysvc init made.")],
    name: NameOption = "keysvc",
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="One without a password. Default: LocalSystem.")
    ] = None,
) -> None:
    """Register the master secret server as a service that starts with Windows.

    keysvc service install --config C:/ProgramData/keysvc/keysvc.toml
    """
    _require_windows()
    from keysvc_dpapi import service as services

    if not config.is_file():
        raise ConfigurationError(f"{config} does not exist", hint="make it first: keysvc init --dir DIR")
    services.install(name, config.absolute(), account)
    typer.echo(f"the service {name} is installed")
    typer.echo("next: keysvc service start")


@service.command()
def start(name: NameOption = "keysvc") -> None:
    """Start the service, and wait until it runs.

    keysvc service start
    """
    _require_windows()
    from keysvc_dpapi import service as services

    services.start(name)
    typer.echo(f"the service {name} runs")


@service.command()
def stop(name: NameOption = "keysvc") -> None:
    """Stop the service, and wait until it has given up its lease.

    keysvc service stop
    """
    _require_windows()
    from keysvc_dpapi import service as services

    services.stop(name)
    typer.echo(f"the service {name} has stopped")


@service.command()
def remove(name: NameOption = "keysvc") -> None:
    """Stop the service and take it from the list. The key store and the configuration stay.

    keysvc service remove
    """
    _require_windows()
    from keysvc_dpapi import service as services

    services.remove(name)
    typer.echo(f"the service {name} is removed")


@registry.command()
def protect(url: Annotated[str, typer.Argument(metavar="URL", help="Of the key store: registry://…")]) -> None:
    """Let only SYSTEM, Administrators and the service account open the registry key again.

    keysvc registry protect registry://HKLM/SOFTWARE/keysvc
    """
    _require_windows()
    from keysvc_dpapi import registry_key
    from keysvc_dpapi.registry import RegistryShelf

    location = Location.parse(url)
    if location.scheme != "registry":
        raise ConfigurationError(f"{location.scheme}: is no registry key", hint="give the URL of the key store")
    shelf = RegistryShelf(registry_key(location))
    strangers = shelf.strangers()
    shelf.protect()
    typer.echo(f"{shelf.key} was open to {', '.join(strangers)}" if strangers else f"{shelf.key} was as it should be")
    if strangers:
        typer.echo("it no longer is; what they may have read, a rotation makes worthless: keysvc secret rotate")
