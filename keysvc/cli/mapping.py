"""keysvc mapping"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keysvc.cli.output import print_json, print_table
from keysvc.cli.shared import ConfigOption, JsonOption, administration, read_file
from keysvc.errors import InvalidInput

app = typer.Typer(rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(metavar="APP")]
UserArgument = Annotated[str, typer.Argument(metavar="USER")]
UserOrAll = Annotated[str | None, typer.Argument(metavar="[USER]", show_default=False)]
AllOption = Annotated[bool, typer.Option("--all", help="Every mapping of the application, 500 in a commit.")]


@app.command("set")
def set_(
    name: NameArgument,
    user: UserArgument,
    external_user: Annotated[str, typer.Argument(metavar="EXTERNAL_USER")],
    config: ConfigOption = None,
    enable: Annotated[bool, typer.Option("--enable", help="A new mapping starts disabled otherwise.")] = False,
) -> None:
    """Map a user to the user id that the application knows.

    \b
    keysvc mapping set SAP 'NORDWIND\\anna.weber' AWEBER --enable
    """
    found = administration(config).set_mapping(name, user, external_user, enable=enable)
    typer.echo(f"{user} is {external_user} in {name}{'' if found.enabled else ', disabled'}")


@app.command("list")
def list_(
    name: NameArgument,
    user: Annotated[str, typer.Option("--user", metavar="PREFIX", help="Whose user begins so.")] = "",
    external_user: Annotated[str, typer.Option("--external-user", metavar="NAME", help="Of this external user.")] = "",
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="In this state.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the mappings of an application, or those that fit all options.

    \b
    keysvc mapping list SAP
    keysvc mapping list SAP --user 'NORDWIND\\' --disabled
    """
    asking = administration(config, changing=False)
    found = list(asking.find_mappings(name, prefix=user, external_user=external_user, enabled=enabled))
    if as_json:
        print_json(found)
        return
    print_table(
        ("user", "external user", "enabled"),
        [(m.user, m.external_user, m.enabled) for m in found],
        empty="no mapping fits the options"
        if user or external_user or enabled is not None
        else f"no mappings: keysvc mapping set '{name}' USER EXTERNAL_USER",
    )


@app.command()
def show(name: NameArgument, user: UserArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one mapping.

    \b
    keysvc mapping show SAP 'NORDWIND\\anna.weber'
    """
    found = administration(config, changing=False).mapping(name, user)
    if as_json:
        print_json(found)
    else:
        typer.echo(
            f"{found.user} is {found.external_user} in {found.application}{'' if found.enabled else ', disabled'}"
        )


@app.command()
def enable(name: NameArgument, user: UserOrAll = None, config: ConfigOption = None, every: AllOption = False) -> None:
    """Let the credential of a mapping be looked up.

    \b
    keysvc mapping enable SAP 'NORDWIND\\anna.weber'
    keysvc mapping enable SAP --all
    """
    _switch(name, user, config, every, enabled=True)


@app.command()
def disable(name: NameArgument, user: UserOrAll = None, config: ConfigOption = None, every: AllOption = False) -> None:
    """Refuse look-ups of a mapping's credential.

    \b
    keysvc mapping disable SAP 'NORDWIND\\anna.weber'
    """
    _switch(name, user, config, every, enabled=False)


def _switch(name: str, user: str | None, config: Path | None, every: bool, *, enabled: bool) -> None:
    if every == (user is not None):
        raise InvalidInput("give a USER or --all", hint=f"keysvc mapping list '{name}'")
    found = administration(config)
    word = "enabled" if enabled else "disabled"
    if user is None:
        typer.echo(f"{word} {found.enable_all_mappings(name, enabled)} mappings of {name}")
    else:
        found.enable_mapping(name, user, enabled)
        typer.echo(f"{word} {user} of {name}")


@app.command()
def delete(name: NameArgument, user: UserArgument, config: ConfigOption = None) -> None:
    """Delete a mapping with its credential.

    \b
    keysvc mapping delete SAP 'NORDWIND\\anna.weber'
    """
    administration(config).delete_mapping(name, user)
    typer.echo(f"deleted {user} of {name}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Enterprise SSO XML, or - for standard input.")],
    config: ConfigOption = None,
    enable: Annotated[bool, typer.Option("--enable", help="New mappings start disabled otherwise.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the mappings of the file instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Create and update mappings from Enterprise SSO's XML. All or nothing.

    \b
    keysvc mapping import mappings.xml --enable
    keysvc mapping import mappings-delete.xml --delete
    """
    from keysvc.entsso.importing import SourceFile, import_files

    content, source = read_file(file)
    found = administration(config)
    files = [SourceFile(source, content, deletes=delete)]
    (done,) = import_files(found.store, files, actor=found.actor, enable=enable, kinds=("mapping",))
    result = done.imported
    if as_json:
        print_json(result)
    elif delete:
        typer.echo(f"{result.deleted} deleted, {result.unchanged} were not there")
        if result.unchanged and not result.deleted:
            raise InvalidInput(
                f"none of the mappings in {source} is there", hint="compare with keysvc mapping list APP"
            )
    else:
        typer.echo(f"{result.created} created, {result.updated} updated, {result.unchanged} unchanged")
