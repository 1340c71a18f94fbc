"""keysvc audit"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.output import print_json, print_table
from keysvc.cli.shared import ConfigOption, JsonOption, administration

if TYPE_CHECKING:
    from keysvc.model import AuditEntry

app = typer.Typer(help="Who did what, when.", no_args_is_help=True, rich_markup_mode=None)
PAGE = 500


@app.command("list")
def list_(
    config: ConfigOption = None,
    after: Annotated[int, typer.Option(metavar="SEQUENCE", help="Only what came later.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List the audit trail, oldest first.

    \b
    keysvc audit list --after 100
    """
    store = administration(config, changing=False).store
    found: list[AuditEntry] = []
    while page := store.audit(after=found[-1].sequence if found else after, limit=PAGE):
        found.extend(page)
    store.close()
    if as_json:
        print_json(found)
        return
    print_table(
        ("sequence", "at", "who", "what", "on"),
        [(e.sequence, f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor, e.action, e.subject) for e in found],
        empty="nothing yet",
    )
