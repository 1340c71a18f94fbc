"""keysvc config-store"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keysvc.cli.credential import HIDDEN, fields_from_file, sso_server
from keysvc.cli.output import print_json, print_table
from keysvc.cli.shared import ConfigOption, JsonOption, load

app = typer.Typer(rich_markup_mode=None)
ApplicationArgument = Annotated[str, typer.Argument(metavar="APP", help="Of the type config-store.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the property bag.")]


@app.command()
def get(
    application: ApplicationArgument,
    name: NameArgument,
    config: ConfigOption = None,
    show: Annotated[bool, typer.Option("--show", help="Show masked values.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a property bag. Masked values are hidden without --show.

    \b
    keysvc config-store get Adapters ftp --show
    """
    server = sso_server(load(config))
    try:
        masked = {field.label for field in server.application(application).fields if field.masked}
        found = server.get_config_info(application, name=name)
    finally:
        server.close()
    properties = {label: value.reveal() if show or label not in masked else HIDDEN for label, value in found.items()}
    if as_json:
        print_json({"application": application, "name": name, "properties": properties})
        return
    print_table(("property", "value"), list(properties.items()), empty="no properties")


@app.command("set")
def set_(
    application: ApplicationArgument,
    name: NameArgument,
    properties_file: Annotated[
        Path, typer.Option(metavar="FILE|-", help="JSON object of label to value, from a file or stdin.")
    ],
    config: ConfigOption = None,
) -> None:
    """Encrypt and store a property bag, in place of all its properties.

    \b
    keysvc app create Adapters --type config-store --field Host --masked Password --enable
    echo '{"Host": "ftp", "Password": "…"}' | keysvc config-store set Adapters ftp --properties-file -
    """
    properties = fields_from_file(properties_file)
    server = sso_server(load(config))
    try:
        version = server.set_config_info(application, properties, name=name)
    finally:
        server.close()
    typer.echo(f"stored {name} in {application} under version {version}")


@app.command()
def delete(application: ApplicationArgument, name: NameArgument, config: ConfigOption = None) -> None:
    """Delete a property bag.

    \b
    keysvc config-store delete Adapters ftp
    """
    server = sso_server(load(config))
    try:
        server.delete_config_info(application, name=name)
    finally:
        server.close()
    typer.echo(f"deleted {name} of {application}")
