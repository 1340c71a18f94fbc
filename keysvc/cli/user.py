"""keysvc user"""

from __future__ import annotations

from typing import Annotated

import typer

from keysvc.cli.server import NameArgument, print_identities, print_token, revoke_identity
from keysvc.cli.shared import ConfigOption, JsonOption

app = typer.Typer(rich_markup_mode=None)


@app.command()
def enroll(
    name: NameArgument,
    config: ConfigOption = None,
    administrator: Annotated[bool, typer.Option("--administrator", help="An SSO administrator.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a one-time join token for a person, good for an hour.

    A user looks up and changes its own credentials at an agent; its name is that of its mappings.

    \b
    keysvc user enroll anna
    keysvc user enroll boss --administrator
    """
    print_token(name, "administrator" if administrator else "user", config, as_json=as_json)


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the people who were enrolled, and when their certificates end.

    \b
    keysvc user list
    """
    print_identities(config, ("user", "administrator"), as_json=as_json)


@app.command()
def revoke(name: NameArgument, config: ConfigOption = None) -> None:
    """Revoke a certificate: the master secret server denies it at once, agents within one poll interval.

    Cancels the join tokens of its name too.

    \b
    keysvc user revoke anna
    """
    revoke_identity(name, config)
