"""keysvc server"""

from __future__ import annotations

import contextlib
from collections import abc
from pathlib import Path
from typing import Annotated

import typer

from keysvc.cli.output import ago, print_json, print_table
from keysvc.cli.shared import ConfigOption, JsonOption, load, open_store, with_the_stores_rights

app = typer.Typer(rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def enroll(
    name: NameArgument,
    config: ConfigOption = None,
    role: Annotated[str, typer.Option(help="server, application, administrator or master.")] = "server",
    as_json: JsonOption = False,
) -> None:
    """Print a one-time join token, good for an hour. It pins this system's certificate authority.

    \b
    keysvc server enroll web-01
    keysvc server enroll payroll --role application
    keysvc server enroll master-2 --role master
    """
    print_token(name, role, config, as_json=as_json)


def print_token(name: str, role: str, config: Path | None, *, as_json: bool) -> None:
    """And what to do with it."""
    from keysvc.installation.assembly import master_client

    settings = load(config)
    client = master_client(settings)
    try:
        token = client.enroll(name, role)
    finally:
        client.close()
    if as_json:
        print_json({"name": name, "role": role, "token": token, "url": settings.masters[0]})
    else:
        typer.echo(token)
        typer.echo(f"on that machine: keysvc join {settings.masters[0]} --token-file FILE --dir DIR", err=True)


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List everyone who was enrolled, and when their certificates end.

    \b
    keysvc server list
    """
    print_identities(config, as_json=as_json)


def print_identities(config: Path | None, roles: abc.Collection[str] = (), *, as_json: bool) -> None:
    """Of these roles, or all."""
    from keysvc.installation.assembly import master_client

    client = master_client(load(config))
    try:
        found = [identity for identity in client.identities() if not roles or identity.role in roles]
    finally:
        client.close()
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "role", "enrolled", "ends", "revoked"),
        [
            (
                *(i.name, i.role, ago(i.enrolled_at)),
                f"{i.expires_at:%Y-%m-%d}" if i.expires_at else "",
                ago(i.revoked_at) if i.revoked_at else "",
            )
            for i in found
        ],
        empty="nobody",
    )


@app.command()
def revoke(
    name: NameArgument,
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Revoke the only master secret server too.")] = False,
) -> None:
    """Revoke a certificate: the master secret server denies it at once, agents within one poll interval.

    Cancels the join tokens of its name too.

    \b
    keysvc server revoke web-01
    """
    revoke_identity(name, config, force=force)


@app.command()
def readmit(name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print a join token for one whose certificate expired, was lost or was revoked.

    Run it on a machine that holds the certificate authority. It needs no administrator: that is what it is for.

    \b
    keysvc server readmit administrator
    """
    from keysvc.installation import assembly
    from keysvc.master.enrolment import readmit as make_token

    settings = load(config)
    authority = assembly.authority(settings)
    with_the_stores_rights(settings)
    token, identity = make_token(open_store(settings), authority, name)
    if as_json:
        print_json({"name": name, "role": identity.role.value, "token": str(token), "url": settings.own_url})
        return
    typer.echo(str(token))
    typer.echo(
        f"on the machine of {name}: keysvc join {settings.own_url} --token-file FILE --dir DIR --again", err=True
    )
    typer.echo("DIR has its keysvc.toml, which stays; without --again DIR is a new directory", err=True)


@app.command()
def tokens(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the join tokens that can still be redeemed, by name. No token itself is shown.

    \b
    keysvc server tokens
    """
    from keysvc.installation.assembly import master_client

    with contextlib.closing(master_client(load(config))) as client:
        found = client.tokens()
    if as_json:
        print_json(found)
        return
    rows = [(token.name, token.role, f"{token.expires_at:%Y-%m-%d %H:%M} UTC") for token in found]
    print_table(("name", "role", "expires"), rows, empty="no join token can be redeemed")


@app.command()
def cancel(name: NameArgument, config: ConfigOption = None) -> None:
    """Cancel the join tokens of a name. A certificate that was issued for one stays good: see revoke.

    \b
    keysvc server cancel web-01
    """
    from keysvc.installation.assembly import master_client

    with contextlib.closing(master_client(load(config))) as client:
        cancelled = client.cancel_tokens(name)
    typer.echo(f"cancelled {cancelled} join token{'' if cancelled == 1 else 's'} of {name}")


def revoke_identity(name: str, config: Path | None, *, force: bool = False) -> None:
    """At the master secret server."""
    from keysvc.installation.assembly import master_client

    client = master_client(load(config))
    try:
        client.revoke(name, force=force)
    finally:
        client.close()
    typer.echo(f"revoked {name}; if it held the master secret, rotate: keysvc secret rotate")
    typer.echo("if it had a login to the mapping store's database, take that away too", err=True)
