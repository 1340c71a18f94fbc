"""keysvc ticket"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keysvc.cli.credential import print_credential, sso_server
from keysvc.cli.output import print_json
from keysvc.cli.shared import ConfigOption, JsonOption, as_text, load, read_file
from keysvc.errors import InvalidInput

app = typer.Typer(rich_markup_mode=None)


@app.command()
def issue(
    config: ConfigOption = None,
    user: Annotated[str | None, typer.Option(metavar="USER", help="Else this machine's own name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a ticket. Whoever has it may trade it for the user's credential, once, within two minutes.

    The system or an application may set another time.

    \b
    keysvc ticket issue --user 'NORDWIND\\anna.weber'
    """
    server = sso_server(load(config))
    try:
        made = server.ticket(user=user)
    finally:
        server.close()
    if as_json:
        print_json({"ticket": made.text.reveal(), "user": made.user, "expires_at": made.expires_at})
    else:
        typer.echo(made.text.reveal())


@app.command()
def redeem(
    name: Annotated[str, typer.Argument(metavar="APP")],
    ticket_file: Annotated[Path, typer.Option(metavar="FILE|-", help="The ticket, in a file or from stdin.")],
    config: ConfigOption = None,
    sender: Annotated[str | None, typer.Option(metavar="USER", help="Whom the ticket came from.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Show masked values.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Trade a ticket for its user's credential. An application that validates tickets needs --sender.

    \b
    keysvc ticket issue --user anna | keysvc ticket redeem SAP --ticket-file - --sender anna
    """
    content, source = read_file(ticket_file)
    ticket = as_text(content, source).strip()
    if not ticket.isascii():
        raise InvalidInput(f"{source} is no ticket", hint="keysvc ticket issue prints one")
    server = sso_server(load(config))
    try:
        found = server.redeem(name, ticket, sender=sender)
    finally:
        server.close()
    print_credential(found, show=show, as_json=as_json)
