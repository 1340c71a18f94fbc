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
    """Run a master secret server.

    Until SIGTERM or Ctrl-C. While another holds the lease, this one is a standby.

    \b
    keysvc --config /var/lib/keysvc/keysvc.toml serve
    """
    settings = load(config)
    from keysvc import assembly
    from keysvc.config import host_and_port
    from keysvc.crypto.memory import harden_process
    from keysvc.web.identity import AUTHORITY, MASTER_IDENTITY, IdentityFiles
    from keysvc.web.master_app import Facts, master_app
    from keysvc.web.renewal import kept_renewed
    from keysvc.web.serving import Server, listen
    from keysvc.web.waiting import Waiting

    log_to_stderr()
    harden_process()
    if settings.listen is None:
        raise ConfigurationError(f"{settings.path} has no listen: this is not the master secret server")
    identity = IdentityFiles(settings.resolve(MASTER_IDENTITY))
    context = identity.server_context()
    waiting = Waiting()
    problems: list[KeysvcError] = []

    def fail(error: KeysvcError) -> None:
        problems.append(error)
        server.stop()

    member = assembly.open_member(settings, key_store_prompt(settings), changed=waiting.changed, failed=fail)
    at = listen(*host_and_port("listen", settings.listen))
    facts = Facts(
        settings.system_id,
        assembly.shareable_mapping_store(settings),
        (identity.directory / AUTHORITY).read_bytes(),
        settings.polling,
        settings.lease,
    )
    server = Server(master_app(member, waiting, facts), at, context, before_end=member.stop)
    try:
        typer.echo(f"a master secret server of {settings.system_id} is on {settings.own_url}", err=True)
        member.start()
        with kept_renewed(assembly.master_renewal(settings, member)):
            server.run()
    finally:
        member.stop()
    if problems:
        raise problems[0]


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
    from keysvc.sso.access import Access
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
        store = assembly.open_mapping_store(settings)
        admission = ending.enter_context(Admission(store, settings.system_id, sso.poll_interval))
        access = Access(store, sso.poll_interval, sso.authorizer)
        app = agent_app(sso, admission, access, LocalCallers(peer.name, settings.agent_callers))
        if local is not None:
            ending.enter_context(Server(app, local, None).in_background())
        places = [f"https://{settings.agent}", *([settings.agent_socket] if settings.agent_socket else [])]
        typer.echo(f"the SSO server {peer.name} is on {' and '.join(places)}", err=True)
        Server(app, at, identity.server_context()).run()
