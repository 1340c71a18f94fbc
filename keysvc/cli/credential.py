"""keysvc credential"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.output import print_json
from keysvc.cli.prompts import passphrase
from keysvc.cli.shared import ConfigOption, JsonOption, as_text, load, read_file
from keysvc.errors import InvalidInput, MasterSecretServerUnavailable, NotFound
from keysvc.plugin.logs import log_nothing
from keysvc.text import repeats_a_name

if TYPE_CHECKING:
    from keysvc.installation.config import Config
    from keysvc.sso import SSO, Credential
    from keysvc.web.agent.client import AgentClient

app = typer.Typer(rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(metavar="APP")]
UserArgument = Annotated[
    str, typer.Argument(metavar="USER", help="A name, which the audit records: never type a password here.")
]
HIDDEN = "********"


@app.command()
def get(
    name: NameArgument,
    user: UserArgument,
    config: ConfigOption = None,
    show: Annotated[bool, typer.Option("--show", help="Show masked values.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Not from the agent's memory.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look a credential up. Masked values are hidden without --show.

    \b
    keysvc credential get SAP 'NORDWIND\\anna.weber' --show
    """
    server = sso_server(load(config))
    try:
        found = server.credential(name, user=user, fresh=fresh)
    finally:
        server.close()
    print_credential(found, show=show, as_json=as_json)


@app.command()
def lookup(
    name: NameArgument,
    external_user: Annotated[
        str,
        typer.Argument(metavar="EXTERNAL_USER", help="A name, which the audit records: never type a password here."),
    ],
    config: ConfigOption = None,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The password that the user gave to the host; else KEYSVC_HOST_PASSWORD."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show masked values.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look a credential up by external user, as a host does. It is asked for the user's password where the application
    checks it.

    \b
    keysvc credential lookup MAINFRAME NW00010
    """
    server = sso_server(load(config))
    try:
        password = None
        if server.application(name).flags.validate_password:
            password = passphrase(
                f"password of {external_user}", password_file, variable="KEYSVC_HOST_PASSWORD", option="--password-file"
            )
        found = server.lookup(name, external_user=external_user, password=password)
    finally:
        server.close()
    print_credential(found, show=show, as_json=as_json)


def print_credential(found: Credential, *, show: bool, as_json: bool) -> None:
    """Masked values are hidden unless `show`."""
    fields = {label: _shown(found, label, show) for label in found.fields}
    if as_json:
        print_json(
            {
                "application": found.application,
                "user": found.user,
                "external_user": found.external_user,
                "fields": fields,
                "version": found.version,
            }
        )
        return
    width = max(map(len, ["external user", *fields])) + 2
    for label, value in {"external user": found.external_user, **fields}.items():
        typer.echo(f"{label:<{width}}{value}")


def _shown(credential: Credential, label: str, show: bool) -> str:
    return credential.fields[label].reveal() if show or label not in credential.masked else HIDDEN


@app.command("set")
def set_(
    name: NameArgument,
    user: UserArgument,
    config: ConfigOption = None,
    fields_file: Annotated[
        Path | None, typer.Option(metavar="FILE|-", help="JSON object of label to value, from a file or stdin.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Delete the fields that are not given.")] = False,
) -> None:
    """Encrypt and store a credential, and keep the fields that are not given; asks for each field without
    --fields-file, hiding masked ones.

    \b
    keysvc credential set SAP 'NORDWIND\\anna.weber'
    echo '{"Password": "…"}' | keysvc credential set SAP 'NORDWIND\\anna.weber' --fields-file -
    """
    settings = load(config)
    fields = fields_from_file(fields_file) if fields_file is not None else _asked(settings, name)
    server = sso_server(settings)
    try:
        if replace:
            version = server.set_credential(name, fields, user=user)
        else:
            given = {label: value for label, value in fields.items() if value}
            version = server.change_credential(name, given, user=user)
    finally:
        server.close()
    typer.echo(f"stored the credential of {user} for {name} under version {version}")


@app.command()
def delete(name: NameArgument, user: UserArgument, config: ConfigOption = None) -> None:
    """Delete a credential; the mapping stays.

    \b
    keysvc credential delete SAP 'NORDWIND\\anna.weber'
    """
    server = sso_server(load(config))
    try:
        server.delete_credential(name, user=user)
    finally:
        server.close()
    typer.echo(f"deleted the credential of {user} for {name}")


@app.command()
def purge(
    name: Annotated[str | None, typer.Argument(metavar="[APP]", show_default=False)] = None,
    config: ConfigOption = None,
) -> None:
    """Make this machine's agent forget the credentials of an application, or all, that it keeps in memory.

    \b
    keysvc credential purge SAP
    """
    from keysvc.installation import assembly

    agent = assembly.agent_client(load(config))
    try:
        purged = agent.purge_cache(name)
    finally:
        agent.close()
    typer.echo(f"forgotten: {purged}")


def sso_server(config: Config) -> SSO | AgentClient:
    """This machine's agent where one answers, which also works while the master is down; else an SSO server in this
    process."""
    from keysvc.installation import assembly

    log_nothing()
    agent = assembly.agent_client(config)
    try:
        agent.status()
    except MasterSecretServerUnavailable:
        agent.close()
        return assembly.open_sso(config)
    return agent


def fields_from_file(path: Path) -> dict[str, str]:
    """A JSON object of texts. Raises InvalidInput."""
    import msgspec

    from keysvc.crypto.unreadable import UNREADABLE

    content, source = read_file(path)
    text = as_text(content, source)
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
    except UNREADABLE:
        raise InvalidInput(f"{source} is not a JSON object of texts", hint='write {"Password": "…"}') from None
    if repeats_a_name(text):
        raise InvalidInput(f"{source} has a label twice", hint="give each field once")
    return found


def _asked(config: Config, name: str) -> dict[str, str]:
    from keysvc.cli.shared import open_store

    if not sys.stdin.isatty():
        raise InvalidInput("the fields are needed", hint="give --fields-file FILE, or - for standard input")
    application = open_store(config).application(name)
    if application is None:
        raise NotFound(f"there is no application {name}", hint="keysvc app list")
    return {
        field.label: typer.prompt(field.label, hide_input=field.masked, confirmation_prompt=field.masked, err=True)
        for field in application.fields[1:]
    }
