"""keysvc serve, keysvc agent"""

from __future__ import annotations

import contextlib

import typer

from keysvc.cli.shared import ConfigOption, key_store_prompt, load, log_to_stderr
from keysvc.errors import ConfigurationError, KeysvcError


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    app.command()(agent)


def serve(config: ConfigOption = None) -> None:
    """Run the master secret server.

    Until SIGTERM or Ctrl-C.

    \b
    keysvc --config /var/lib/keysvc/keysvc.toml serve
    """
    settings = load(config)
    from keysvc import assembly
    from keysvc.config import host_and_port
    from keysvc.crypto.memory import harden_process
    from keysvc.web.identity import IdentityFiles
    from keysvc.web.master_app import master_app
    from keysvc.web.renewal import kept_renewed
    from keysvc.web.serving import Server, listen

    log_to_stderr()
    harden_process()
    if settings.listen is None:
        raise ConfigurationError(f"{settings.path} has no listen: this is not the master secret server")
    context = IdentityFiles(settings.resolve(assembly.MASTER_IDENTITY)).server_context()
    master = assembly.open_master(settings, key_store_prompt(settings))
    at = listen(*host_and_port("listen", settings.listen))
    lost: list[KeysvcError] = []

    def step_down(error: KeysvcError) -> None:
        lost.append(error)
        server.stop()

    app = master_app(
        master,
        mapping_store=assembly.shareable_mapping_store(settings),
        poll_interval_seconds=settings.polling.total_seconds(),
    )
    server = Server(app, at, context)
    master.start(step_down)
    try:
        if load(config) != settings:  # a reseal held the lease, and moved the versions elsewhere
            raise ConfigurationError(f"{settings.path} was changed meanwhile", hint="start keysvc serve again")
        typer.echo(
            f"the master secret server of {master.system_id} is on {settings.master}, epoch {master.epoch}", err=True
        )
        with kept_renewed(assembly.master_renewal(settings)):
            server.run()
    finally:
        master.stop()
    if lost:
        raise lost[0]


def agent(config: ConfigOption = None) -> None:
    """Run an SSO server for local applications.

    Until SIGTERM or Ctrl-C.

    \b
    keysvc --config /etc/keysvc/keysvc.toml agent
    """
    settings = load(config)
    from keysvc import assembly
    from keysvc.config import host_and_port
    from keysvc.crypto.memory import harden_process
    from keysvc.model import Role
    from keysvc.web.admission import Admission
    from keysvc.web.agent_app import agent_app
    from keysvc.web.local_socket import LocalCallers, listen_at
    from keysvc.web.serving import Server, listen

    log_to_stderr()
    harden_process()
    assembly.tell_of_plugins(settings)
    identity = assembly.identity(settings)
    peer = identity.require(Role.SERVER)
    at = listen(*host_and_port("agent", settings.agent))
    local = listen_at(settings.resolve(settings.agent_socket)) if settings.agent_socket is not None else None
    with contextlib.ExitStack() as ending:
        sso = ending.enter_context(assembly.open_sso(settings))
        admission = ending.enter_context(
            Admission(assembly.open_mapping_store(settings), settings.system_id, sso.poll_interval)
        )
        app = agent_app(sso, admission, LocalCallers(peer.name, settings.agent_callers))
        if local is not None:
            ending.enter_context(Server(app, local, None).in_background())
        places = [f"https://{settings.agent}", *([settings.agent_socket] if settings.agent_socket else [])]
        typer.echo(f"the SSO server {peer.name} is on {' and '.join(places)}", err=True)
        Server(app, at, identity.server_context()).run()
