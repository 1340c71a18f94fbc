"""keysvc serve, keysvc agent"""

from __future__ import annotations

import typer

from keysvc.cli.shared import ConfigOption


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    app.command()(agent)


def serve(config: ConfigOption = None) -> None:
    """Run a master secret server.

    Until SIGTERM or Ctrl-C. While another holds the lease, this one is a standby.

    \b
    keysvc --config /var/lib/keysvc/keysvc.toml serve
    """
    from keysvc.cli import services

    services.serve(config)


def agent(config: ConfigOption = None) -> None:
    """Run an SSO server for local applications.

    Until SIGTERM or Ctrl-C.

    \b
    keysvc --config /etc/keysvc/keysvc.toml agent
    """
    from keysvc.cli import services

    services.agent(config)
