"""keysvc app"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keysvc.cli.output import print_json, print_table
from keysvc.cli.shared import ConfigOption, JsonOption, administration, read_file

app = typer.Typer(rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(metavar="APP")]
FlagOption = Annotated[
    list[str] | None,
    typer.Option("--flag", metavar="FLAG[=no]", help="As Enterprise SSO names it: hostInitiatedSSO; may be repeated."),
]
UserAccountOption = Annotated[
    list[str] | None,
    typer.Option(
        "--user-account", metavar="ACCOUNT", help="Who uses it, or its groups in order; of a host group, its one."
    ),
]
AdministratorAccountOption = Annotated[
    list[str] | None, typer.Option("--administrator-account", metavar="ACCOUNT", help="Who administers it.")
]


@app.command()
def create(
    name: NameArgument,
    config: ConfigOption = None,
    type_: Annotated[str, typer.Option("--type", help="individual, group, host-group or config-store.")] = "individual",
    user_id: Annotated[str, typer.Option(metavar="LABEL", help="Label of the external user id.")] = "User Id",
    field: Annotated[list[str] | None, typer.Option(metavar="LABEL", help="A field that may be shown.")] = None,
    masked: Annotated[list[str] | None, typer.Option(metavar="LABEL", help="A field that is hidden.")] = None,
    description: Annotated[str, typer.Option()] = "",
    contact: Annotated[str, typer.Option()] = "",
    user_account: UserAccountOption = None,
    administrator_account: AdministratorAccountOption = None,
    flag: FlagOption = None,
    allow_tickets: Annotated[bool, typer.Option("--allow-tickets", help="It takes tickets.")] = False,
    ticket_timeout: Annotated[int | None, typer.Option(metavar="MINUTES", min=1, help="Else the system's.")] = None,
    enable: Annotated[bool, typer.Option("--enable", help="It starts disabled otherwise.")] = False,
) -> None:
    """Create an application. Without --field and --masked it has one masked field, Password.

    \b
    keysvc app create SAP --enable
    keysvc app create FTP --field Host --masked Password --masked "Key passphrase"
    keysvc app create EDI --type group --user-account 'NORDWIND\\Purchasing' --flag disableCredCache
    """
    from dataclasses import replace

    from keysvc.errors import InvalidInput
    from keysvc.model import ApplicationType, Field, Flags

    if type_ not in set(ApplicationType):
        raise InvalidInput(f"{type_!r} is not a type of application", hint=f"one of {', '.join(ApplicationType)}")
    shown, hidden = field or [], masked or ([] if field else ["Password"])
    fields = [
        Field(user_id, masked=False),
        *(Field(x, masked=False) for x in shown),
        *(Field(x, masked=True) for x in hidden),
    ]
    administration(config).create_application(
        name,
        fields,
        type_=ApplicationType(type_),
        flags=replace(Flags(enabled=enable, allow_tickets=allow_tickets), **_flags(flag)),
        ticket_timeout_minutes=ticket_timeout,
        description=description,
        contact=contact,
        user_accounts=user_account or (),
        administrator_accounts=administrator_account or (),
    )
    typer.echo(f"created {name}{'' if enable else f', disabled: keysvc app enable {name!r}'}")


def _flags(given: list[str] | None) -> dict[str, bool]:
    """By their names in `Flags`. Raises InvalidInput."""
    from keysvc.entsso.definitions import FLAGS, SWITCH
    from keysvc.errors import InvalidInput

    names = {name.casefold(): flag for name, flag in FLAGS.items()}
    found = {}
    for text in given or ():
        name, _, value = text.partition("=")
        flag, on = names.get(name.strip().casefold()), SWITCH.get(value.strip().casefold() or "yes")
        if flag is None or on is None:
            raise InvalidInput(
                f"{text!r} sets no flag",
                hint=f"FLAG, FLAG=yes or FLAG=no, where FLAG is one of {', '.join(FLAGS)}",
            )
        found[flag] = on
    return found


@app.command("set")
def set_(
    name: NameArgument,
    config: ConfigOption = None,
    description: Annotated[str | None, typer.Option()] = None,
    contact: Annotated[str | None, typer.Option()] = None,
    user_account: UserAccountOption = None,
    administrator_account: AdministratorAccountOption = None,
    flag: FlagOption = None,
    ticket_timeout: Annotated[
        int | None, typer.Option(metavar="MINUTES", min=0, help="0 takes the system's again.")
    ] = None,
) -> None:
    """Change an application. Its name, type and fields never change.

    Accounts that are given replace all that were there; an empty one leaves none.

    \b
    keysvc app set SAP --contact sap-basis@nordwind.example
    keysvc app set MAINFRAME --flag hostInitiatedSSO --flag windowsInitiatedSSO=no
    """
    administration(config).change_application(
        name,
        flags=_flags(flag),
        description=description,
        contact=contact,
        user_accounts=None if user_account is None else [account for account in user_account if account],
        administrator_accounts=None
        if administrator_account is None
        else [account for account in administrator_account if account],
        ticket_timeout_minutes=ticket_timeout,
    )
    typer.echo(f"changed {name}")


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the applications.

    \b
    keysvc app list
    """
    found = administration(config, changing=False).store.applications()
    if as_json:
        print_json(found)
        return
    print_table(
        ("application", "type", "enabled", "fields", "description"),
        [(a.name, a.type.value, a.flags.enabled, ", ".join(f.label for f in a.fields), a.description) for a in found],
        empty="no applications: keysvc app create, or keysvc app import FILE",
    )


@app.command()
def show(name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one application.

    \b
    keysvc app show SAP
    """
    from dataclasses import asdict

    found = administration(config, changing=False).application(name)
    if as_json:
        print_json(found)
        return
    from keysvc.entsso.definitions import FLAGS

    plain = asdict(found)
    plain["fields"] = ", ".join(f"{f.label}{' (masked)' if f.masked else ''}" for f in found.fields)
    flags = plain.pop("flags")
    shown = {key.replace("_", " "): value for key, value in plain.items()}
    for key, value in {**shown, **{name: flags[flag] for name, flag in FLAGS.items()}}.items():
        text = ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
        typer.echo(f"{key:<26}{text}")


@app.command()
def enable(name: NameArgument, config: ConfigOption = None) -> None:
    """Let credentials of it be looked up.

    \b
    keysvc app enable SAP
    """
    administration(config).enable_application(name, enabled=True)
    typer.echo(f"enabled {name}")


@app.command()
def disable(name: NameArgument, config: ConfigOption = None) -> None:
    """Refuse look-ups of its credentials.

    \b
    keysvc app disable SAP
    """
    administration(config).enable_application(name, enabled=False)
    typer.echo(f"disabled {name}")


@app.command()
def delete(
    name: NameArgument,
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete it with all its mappings and credentials.

    \b
    keysvc app delete SAP
    """
    found = administration(config)
    found.application(name)
    if not yes:
        typer.confirm(f"Delete {name} with all its mappings and credentials?", abort=True)
    found.delete_application(name)
    typer.echo(f"deleted {name}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Enterprise SSO XML, or - for standard input.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create and update applications, or the global settings, from Enterprise SSO's XML. All or nothing.

    \b
    keysvc app import applications.xml
    keysvc app import global-info.xml
    """
    from keysvc.entsso.importing import SourceFile, import_files

    content, source = read_file(file)
    found = administration(config)
    files = [SourceFile(source, content)]
    (done,) = import_files(found.store, files, actor=found.actor, kinds=("application", "globalinfo"))
    result = done.imported
    if as_json:
        print_json(result)
    else:
        typer.echo(f"{result.created} created, {result.updated} updated, {result.unchanged} unchanged")
