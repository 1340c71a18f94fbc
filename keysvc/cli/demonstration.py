"""keysvc demo"""

from __future__ import annotations

import typer

from keysvc.cli.shared import JsonOption


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(as_json: JsonOption = False) -> None:
    """Show the whole story on this machine.

    In a temporary folder: one master, two SSO servers, 1,200 mappings of 6 applications, a rotation under load, a dead
    master, a lost key store.

    \b
    keysvc demo
    """
    from keysvc.cli.output import print_json
    from keysvc.demo import story

    summary = story.tell(quiet=as_json)
    if as_json:
        print_json(summary)
    else:
        story.show(summary)
    if summary.failed_lookups or not summary.restored_from_backup:
        raise typer.Exit(1)
