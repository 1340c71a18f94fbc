"""keysvc role"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.output import print_json, print_table
from keysvc.cli.shared import ConfigOption, JsonOption, administration, load, until_the_end
from keysvc.errors import InvalidInput

if TYPE_CHECKING:
    from collections import abc

    from keysvc.plugin.interfaces import MappingStore

app = typer.Typer(rich_markup_mode=None)
AppOption = Annotated[str | None, typer.Option("--app", metavar="APP", help="In this application too.")]


@app.command()
def table(as_json: JsonOption = False) -> None:
    """Show what each role may do.

    \b
    keysvc role table
    """
    from keysvc.sso.permissions import TABLE, SSORole

    if as_json:
        print_json([{"right": right, **{role: row.of(role) for role in SSORole}} for right, row in TABLE.items()])
        return
    print_table(
        ("operation", *(role.value.replace("-", " ") for role in SSORole)),
        [(row.meaning, *(row.of(role).value for role in SSORole)) for row in TABLE.values()],
        empty="",
    )


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the accounts that have a role, in the system and in each application.

    \b
    keysvc role list
    """
    found = list(_named(administration(config, changing=False).store))
    if as_json:
        print_json([{"role": role, "application": name, "account": account} for role, name, account in found])
        return
    print_table(
        ("role", "application", "account"), found, empty="no account has a role: keysvc role set, keysvc app set"
    )


def _named(store: MappingStore) -> abc.Iterator[tuple[str, str, str]]:
    from keysvc.model import accounts_in
    from keysvc.sso.permissions import SSORole

    system = store.system()
    if system is not None:
        settings = system.settings
        for role, text in (
            (SSORole.SSO_ADMINISTRATOR, settings.administrators),
            (SSORole.AFFILIATE_ADMINISTRATOR, settings.affiliate_administrators),
        ):
            yield from ((role.value, "", account) for account in accounts_in(text))
    for application in store.applications():
        for role, accounts in (
            (SSORole.APPLICATION_ADMINISTRATOR, application.administrator_accounts),
            (SSORole.APPLICATION_USER, application.user_accounts),
        ):
            yield from ((role.value, application.name, account) for account in accounts)


@app.command("set")
def set_(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="sso-administrator or affiliate-administrator.")],
    accounts: Annotated[list[str] | None, typer.Argument(metavar="[ACCOUNT]...", show_default=False)] = None,
    config: ConfigOption = None,
) -> None:
    """Say which accounts have a role of the system, in place of those before; without any, nobody has it.

    An account is the name of a certificate, or of a group that the authorizer knows. The accounts of an application are
    set with keysvc app set.

    \b
    keysvc role set affiliate-administrator 'NORDWIND\\SSO Affiliate Administrators'
    """
    from keysvc.sso.permissions import SSORole

    found, named = administration(config), accounts or []
    match role:
        case SSORole.SSO_ADMINISTRATOR:
            found.name_system_administrators(administrators=named)
        case SSORole.AFFILIATE_ADMINISTRATOR:
            found.name_system_administrators(affiliate=named)
        case _:
            raise InvalidInput(
                f"{role!r} is no role of the system",
                hint="an application's: keysvc app set APP --user-account ACCOUNT --administrator-account ACCOUNT",
            )
    typer.echo(f"{role}: {', '.join(named) or 'nobody'}")


@app.command()
def of(
    name: Annotated[str, typer.Argument(metavar="NAME", help="In a certificate, or MACHINE\\ACCOUNT.")],
    application: AppOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which groups somebody is in and which roles that gives, as an agent with this configuration finds it.

    \b
    keysvc role of anna --app SAP
    """
    from keysvc.installation import assembly
    from keysvc.model import Role
    from keysvc.sso.authorization import Access
    from keysvc.sso.permissions import Principal

    settings = load(config)
    store, authorizer = administration(config, changing=False).store, assembly.open_authorizer(settings)
    if authorizer is not None:
        until_the_end.callback(authorizer.close)
    known = {identity.name: identity.role for identity in store.identities()}
    groups = sorted(authorizer.groups_of(name)) if authorizer is not None else []
    roles = Access(store, lambda: 0.0, authorizer).roles(Principal(name, known.get(name, Role.USER)), application)
    if as_json:
        print_json({"name": name, "groups": groups, "roles": roles})
        return
    typer.echo(f"groups  {', '.join(groups) or 'none'}\nroles   {', '.join(roles) or 'none'}")
