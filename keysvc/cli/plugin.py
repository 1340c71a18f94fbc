"""keysvc plugin"""

from __future__ import annotations

import typer

from keysvc.cli.output import print_json, print_table
from keysvc.cli.shared import JsonOption

app = typer.Typer(help="Key stores, mapping stores and notifiers.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the plugins that are installed, and what is wrong with those that do not work.

    \b
    keysvc plugin list
    """
    from keysvc.assembly import plugins

    found = plugins().reports
    if as_json:
        print_json(found)
        return
    print_table(
        ("plugin", "distribution", "version", "URL schemes", "problem"),
        [(r.name, r.distribution, r.version, ", ".join(f"{s}:" for s in r.schemes), r.problem) for r in found],
        empty="none: keysvc itself is not installed properly",
    )
