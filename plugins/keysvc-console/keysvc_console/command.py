"""keysvc console"""

from __future__ import annotations

import contextlib
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from keysvc.plugin import ConfigurationError

LOOPBACK = "127.0.0.1"
SIGN_IN_FILE = "open-the-console.html"
ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="PATH", help="Configuration file.")]
AgentOption = Annotated[
    str | None, typer.Option("--agent", metavar="HOST:PORT", help="The agent to ask. Default: that of this machine.")
]


def console(
    config: ConfigOption = None,
    agent: AgentOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the loopback address. Default: any free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open the browser.")] = True,
) -> None:
    """Open the console in a browser of this machine, until Ctrl-C.

    It works with the certificate of this configuration, and shows what the roles of that certificate allow. The address
    that it prints opens the console once.

    \b
    keysvc console
    keysvc console --config ~/keysvc/keysvc.toml --agent keysvc-agent.nordwind.example:7444
    """
    from keysvc.cli.shared import load
    from keysvc.web.asgi.server import Server, interrupt_at_end, listen
    from keysvc_console.app import console_app
    from keysvc_console.gate import Gate
    from keysvc_console.reach import Reach

    settings = load(config)
    if agent is not None and (":" not in agent or "/" in agent):
        raise ConfigurationError(f"{agent!r} is not HOST:PORT", hint="--agent 127.0.0.1:7444")
    interrupt_at_end()
    with contextlib.ExitStack() as ending:
        at = ending.enter_context(listen(LOOPBACK, port))
        reach = ending.enter_context(contextlib.closing(Reach(settings, agent)))
        gate = Gate(f"http://{LOOPBACK}:{at.getsockname()[1]}")
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="keysvc-console-")))
        gate.tell = lambda address, why: _tell(folder, address, why, browser=browser)
        gate.new_address("")
        Server(console_app(reach, gate), at, None, knows=lambda _connected: True).run()


def _tell(folder: Path, address: str, why: str, *, browser: bool) -> None:
    """Print the address, and open it: by a file that only this account reads, since other accounts see the arguments of
    a browser that is started."""
    if why:
        typer.echo(why, err=True)
    typer.echo(f"the console opens once at {address}")
    if not browser or why:
        return
    file = folder / SIGN_IN_FILE
    file.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>keysvc console</title>'
        f'<meta http-equiv="refresh" content="0; url={address}"><a href="{address}">Open the console</a></html>\n',
        encoding="utf-8",
    )
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(file.as_uri())
