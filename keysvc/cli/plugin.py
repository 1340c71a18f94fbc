"""keysvc plugin"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from keysvc.cli.output import print_json, print_table
from keysvc.cli.shared import JsonOption

if TYPE_CHECKING:
    from keysvc.plugins import PluginReport

app = typer.Typer(help="Key stores, mapping stores and notifiers.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the plugins that are installed, and what is wrong with those that do not work.

    \b
    keysvc plugin list
    keysvc plugin list --json
    """
    from keysvc.assembly import plugins

    found = plugins().reports
    if as_json:
        print_json(found)
        return
    print_table(
        ("plugin", "distribution", "version", "kinds", "URL schemes", "health"),
        [
            (r.name, r.distribution, r.version, ", ".join(r.kinds), ", ".join(f"{s}:" for s in r.schemes), health(r))
            for r in found
        ],
        empty="none: keysvc itself is not installed properly",
    )


def health(report: PluginReport) -> str:
    """In one line: `ok`, or what is wrong and what to do."""
    return f"{report.problem}; {report.hint}" if report.problem else "ok"
