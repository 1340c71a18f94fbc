"""keysvc import-entsso, keysvc export-entsso"""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.output import print_json, print_table, warn
from keysvc.cli.shared import ConfigOption, JsonOption, administration, read_file
from keysvc.errors import InvalidInput

if TYPE_CHECKING:
    from keysvc.entsso.importing import SourceFile

DELETES = "delete"
EXPORTED = ("global-info.xml", "applications.xml", "mappings.xml")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("import-entsso")(import_entsso)
    app.command("export-entsso")(export_entsso)


def import_entsso(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR|FILE...", help="Folders of *.xml, or files.")],
    config: ConfigOption = None,
    enable: Annotated[bool, typer.Option("--enable", help="New mappings start disabled otherwise.")] = False,
    delete: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A file, also in DIR, whose mappings are to go.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring over what Enterprise SSO's XML files hold: settings, applications, mappings. All of it or nothing.

    Files may have any names. One whose name says `delete` is left out unless it is given with --delete.

    \b
    keysvc import-entsso /media/entsso --dry-run
    keysvc import-entsso /media/entsso --enable --delete mappings-delete.xml
    """
    from keysvc.entsso.importing import import_files

    files, left_out = _files(paths, delete or [])
    found = administration(config)
    done = import_files(found.store, files, actor=found.actor, enable=enable, dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "files": done, "left_out": [str(path) for path in left_out]})
        return
    rows: list[tuple[object, ...]] = []
    for each in done:
        result = each.imported
        rows.append((each.name, each.holds, result.created, result.updated, result.unchanged, result.deleted))
    print_table(("file", "holds", "created", "updated", "unchanged", "deleted"), rows, empty="")
    for path in left_out:
        typer.echo(f"left out: {path}; its mappings go with --delete {path.name}")
    if not dry_run:
        for application in found.store.applications():
            if application.flags.direct_password_sync:
                warn(f"{application.name} has directPasswordSync, which keysvc keeps and does not do")
    typer.echo(
        "nothing was changed: --dry-run"
        if dry_run
        else "imported; Enterprise SSO exports no credentials: keysvc credential import"
    )


def _read(path: Path, deletes: bool) -> SourceFile:
    from keysvc.entsso.importing import SourceFile

    content, name = read_file(path)
    return SourceFile(name, content, deletes)


def _files(paths: abc.Sequence[Path], deletes: abc.Sequence[Path]) -> tuple[list[SourceFile], list[Path]]:
    """What is to be read, and what is left out."""
    folders = [path for path in paths if path.is_dir()]
    going = [next((folder / path for folder in folders if (folder / path).is_file()), path) for path in deletes]
    found = [path for path in paths if not path.is_dir()]
    left_out = []
    for folder in folders:
        inside = sorted(path for path in folder.iterdir() if path.suffix.casefold() == ".xml")
        if not inside:
            raise InvalidInput(f"{folder} holds no *.xml file", hint="give the folder of Enterprise SSO's files")
        named = [path for path in inside if DELETES in path.stem.casefold()]
        found += [path for path in inside if path not in named]
        left_out += [path for path in named if path not in going]
    files = [(path, False) for path in dict.fromkeys(found) if path not in going]
    files += [(path, True) for path in dict.fromkeys(going)]
    return [_read(path, to_go) for path, to_go in files], left_out


def export_entsso(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="It is made when it is not there.")],
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of an earlier export.")] = False,
) -> None:
    """Write settings, applications and mappings as Enterprise SSO's XML. No credential is in it.

    \b
    keysvc export-entsso /media/entsso-out
    """
    import os

    from keysvc.entsso import exporting

    store = administration(config, changing=False).store
    system = store.system()
    contents = (
        exporting.settings_lines(system.settings) if system is not None else iter(()),
        exporting.application_lines(store),
        exporting.mapping_lines(store),
    )
    there = [name for name in EXPORTED if (folder / name).exists()]
    if there and not force:
        raise InvalidInput(f"{folder / there[0]} exists", hint="give another folder, or --force to replace it")
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, lines in zip(EXPORTED, contents, strict=True):
            new = folder / f"{name}.new"
            with new.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(lines)
            if new.stat().st_size:
                written.append(name)
            else:
                new.unlink()
        for name in written:
            os.replace(folder / f"{name}.new", folder / name)
    except OSError as error:
        raise InvalidInput(f"{folder}: {error.strerror}") from None
    for name in written:
        typer.echo(f"wrote {folder / name}")
