"""keysvc demo"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.shared import JsonOption

if TYPE_CHECKING:
    from keysvc.cli.demo.story import Summary


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


MappingStoreOption = Annotated[
    str | None,
    typer.Option("--mapping-store", metavar="URL", help="An empty database; SQLite in the folder unless given."),
]


KeyStoreOption = Annotated[
    str,
    typer.Option(
        "--key-store",
        metavar="file|softhsm|URL",
        help="softhsm: a throw-away token, by keysvc-pkcs11. URL: an empty key store.",
    ),
]
NotifierOption = Annotated[
    list[str] | None, typer.Option("--notifier", metavar="URL", help="Receives every event; may be given again.")
]


def demo(
    mapping_store: MappingStoreOption = None,
    key_store: KeyStoreOption = "file",
    notifier: NotifierOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the whole story on this machine.

    In a temporary folder: one master, two SSO servers, 1,200 mappings of 6 applications, a rotation under load, a dead
    master, a lost key store.

    \b
    keysvc demo
    keysvc demo --mapping-store postgresql://keysvc@localhost/empty
    keysvc demo --key-store softhsm
    keysvc demo --notifier syslog:
    """
    from keysvc.cli.demo import story
    from keysvc.cli.output import print_json

    summary = story.tell(quiet=as_json, mapping_store=mapping_store, key_store=key_store, notifiers=notifier or ())
    if as_json:
        print_json(summary)
    else:
        show(summary)
    if summary.failed_lookups or not summary.restored_from_backup:
        raise typer.Exit(1)


def show(summary: Summary) -> None:
    """For people."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold")
    table.add_column()
    reached = summary.rotated_to
    rows = [
        (f"{summary.imported_mappings:,}", f"mappings of {summary.applications} applications imported"),
        (f"{summary.lookups:,}", "look-ups from four threads, all the time"),
        (f"{summary.failed_lookups:,}", "of them failed"),
        (f"{summary.reencrypted:,}", f"credentials re-encrypted, from version {summary.rotated_from} to {reached}"),
        (f"{summary.lookups_while_master_down:,}", "look-ups while the master was dead"),
        ("yes" if summary.encrypt_refused_while_master_down else "NO", "encrypting was refused meanwhile"),
        ("yes" if summary.restored_from_backup else "NO", "the lost key store was restored from the backup"),
        (f"{summary.seconds}", "seconds"),
    ]
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(Panel(table, title="keysvc", expand=False, padding=(1, 2)))
    console.print("Your own in a minute:\n  keysvc init --dir DIR\n  keysvc --config DIR/keysvc.toml serve")
