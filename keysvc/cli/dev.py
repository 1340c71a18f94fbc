"""keysvc dev"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import typer

APPLICATION, USER, EXTERNAL_USER = "DEMO", "anna", "AWEBER"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(dev)


def dev() -> None:
    """Run a system for trying out, in a temporary folder that is deleted at the end.

    It has an application and a user, and says how to store the first credential. Until SIGTERM or Ctrl-C.

    \b
    keysvc dev
    """
    from keysvc.cli import services
    from keysvc.cli.output import warn

    with tempfile.TemporaryDirectory(prefix="keysvc-dev-") as folder:
        path = _made(Path(folder))
        warn(f"for trying out alone: no backup, keys in plain files; {folder} is deleted at the end")
        typer.echo(f"store a credential:  keysvc --config {path} credential set {APPLICATION} {USER}")
        typer.echo(f"look it up:          keysvc --config {path} credential get {APPLICATION} {USER} --show")
        services.serve(path)


def _made(folder: Path) -> Path:
    """Configure a system with one application and one user. Returns its configuration file."""
    from keysvc.cli.demo.processes import free_port
    from keysvc.installation.assembly import no_prompt, open_mapping_store
    from keysvc.installation.init_and_join import ADMINISTRATOR, InitOptions, install
    from keysvc.model import Field, Flags
    from keysvc.sso.administration import Administration

    wishes = InitOptions(listen=f"127.0.0.1:{free_port()}", poll_interval="1s", lease_ttl="5s")
    config = install(folder / "keysvc", wishes, no_prompt).config
    with contextlib.closing(open_mapping_store(config)) as store:
        found = Administration(store, ADMINISTRATOR)
        found.create_application(
            APPLICATION, [Field("User Id", masked=False), Field("Password", masked=True)], flags=Flags(enabled=True)
        )
        found.set_mapping(APPLICATION, USER, EXTERNAL_USER, enable=True)
    return Path(config.path)
