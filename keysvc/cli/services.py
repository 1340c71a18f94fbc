"""The services behind `keysvc serve` and `keysvc agent`. Nothing here imports typer: see `keysvc.cli`."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import abc
from pathlib import Path
from types import MappingProxyType

from keysvc.cli.prompts import key_store_prompt
from keysvc.errors import ConfigurationError, KeysvcError, MappingStoreUnavailable
from keysvc.installation import assembly, config as configuration
from keysvc.installation.config import Config, host_and_port
from keysvc.model import Role
from keysvc.plugin.logs import get_logger, log_to_stderr
from keysvc.web.asgi.long_poll import Waiting
from keysvc.web.asgi.server import Server, interrupt_at_end, listen
from keysvc.web.tls.identity_files import MASTER_IDENTITY, IdentityFiles
from keysvc.web.tls.renewal import kept_renewed

log = get_logger("keysvc.service")
ASK_AGAIN_SECONDS = 1.0


def serve(config: Path | None) -> None:
    """Be a master secret server until SIGTERM or Ctrl-C."""
    from keysvc.installation.doctor import this_machine
    from keysvc.web.master.app import JoinInfo, master_app

    settings = configuration.load(config)
    log_to_stderr()
    interrupt_at_end()
    assembly.require_safe_files(settings)
    if settings.listen is None:
        raise ConfigurationError(f"{settings.path} has no listen: this is not the master secret server")
    identity = IdentityFiles(settings.resolve(MASTER_IDENTITY))
    context = identity.server_context()
    _await_mapping_store(settings)
    waiting = Waiting()
    problems: list[KeysvcError] = []

    def fail(error: KeysvcError) -> None:
        problems.append(error)
        server.stop()

    facts = JoinInfo(
        settings.system_id,
        assembly.shareable_mapping_store(settings),
        identity.authority(),
        settings.polling,
        settings.lease,
    )
    with (
        assembly.opened_member(
            settings, key_store_prompt(settings), changed=waiting.changed, failed=fail, ask=waiting.ask
        ) as member,
        listen(*host_and_port("listen", settings.listen)) as at,
    ):
        app = master_app(member, waiting, facts, this_machine(settings))
        server = Server(app, at, context, before_end=member.stop, at_start=waiting.serve)
        _tell(f"a master secret server of {settings.system_id} is on {settings.own_url}")
        member.start()
        with kept_renewed(assembly.master_renewal(settings, member, context)):
            server.run()
    if problems:
        raise problems[0]


def agent(config: Path | None) -> None:
    """Be an SSO server for local applications until SIGTERM or Ctrl-C."""
    from keysvc.web.agent.admission import Admission
    from keysvc.web.agent.app import agent_app
    from keysvc.web.agent.local_socket import LocalCallers, listen_at

    settings = configuration.load(config)
    log_to_stderr()
    interrupt_at_end()
    assembly.require_safe_files(settings)
    assembly.tell_of_plugins(settings)
    identity = assembly.identity(settings)
    peer = identity.require(Role.SERVER)
    _await_mapping_store(settings)
    with contextlib.ExitStack() as ending:
        at = ending.enter_context(listen(*host_and_port("agent", settings.agent)))
        local = None
        if settings.agent_socket is not None:
            local = ending.enter_context(listen_at(settings.resolve(settings.agent_socket)))
        sso = ending.enter_context(assembly.open_sso(settings))
        store = assembly.open_mapping_store(settings)
        admission = ending.enter_context(Admission(store, settings.system_id, identity.authority(), sso.poll_interval))
        callers = LocalCallers(peer.name, settings.agent_callers)
        app = agent_app(sso, admission, callers)
        if local is not None:
            ending.enter_context(Server(app, local, None, knows=callers.knows).in_background())
        places = [f"https://{settings.agent}", *([settings.agent_socket] if settings.agent_socket else [])]
        _tell(f"the SSO server {peer.name} is on {' and '.join(places)}")
        Server(app, at, identity.server_context()).run()


SERVICES: abc.Mapping[str, abc.Callable[[Path | None], None]] = MappingProxyType({"serve": serve, "agent": agent})
"""By the command that runs each."""


def _await_mapping_store(settings: Config) -> None:
    """Return once the mapping store answers, whatever it holds: a machine may start before its database."""
    problem = ""
    with contextlib.closing(assembly.open_mapping_store(settings)) as store:
        while True:
            try:
                store.info()
            except MappingStoreUnavailable as error:
                if str(error) != problem:
                    log.warning("the mapping store is away; this service waits for it", problem=str(error))
                problem = str(error)
                time.sleep(ASK_AGAIN_SECONDS)
            else:
                return


def _tell(what: str) -> None:
    sys.stderr.write(f"{what}\n")
