"""A console for keysvc in the browser, on loopback, with the certificate of whoever starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keysvc.plugin import hookimpl

if TYPE_CHECKING:
    import typer

KEYSVC_API = 2


@hookimpl
def keysvc_commands(app: typer.Typer) -> None:
    """Add `keysvc console`."""
    from keysvc_console.command import console

    app.command()(console)
