"""The services behind `keysvc serve` and `keysvc agent`. Nothing here imports typer: see `keysvc.cli`."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections import abc
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from keysvc.cli.prompts import key_store_prompt
from keysvc.errors import ConfigurationError, KeysvcError, MappingStoreUnavailable, NotActive
from keysvc.installation import assembly, config as configuration
from keysvc.installation.config import OF_A_MASTER, Config, host_and_port
from keysvc.installation.notifiers import Notifiers, close
from keysvc.master.cluster_member import Member
from keysvc.model import Role
from keysvc.operating.health import of_agent, of_master
from keysvc.operating.measuring import Unmeasured, measured
from keysvc.operating.probes import answered
from keysvc.operating.reloading import Reloading
from keysvc.operating.service import Service
from keysvc.operating.systemd import passed_sockets
from keysvc.plugin.logs import get_logger, log_to_stderr
from keysvc.web.asgi.long_poll import Waiting
from keysvc.web.asgi.server import Server, interrupt_at_end, listen
from keysvc.web.tls.identity_files import MASTER_IDENTITY, IdentityFiles
from keysvc.web.tls.renewal import kept_renewed

if TYPE_CHECKING:
    from keysvc.web.master.app import JoinInfo

log = get_logger("keysvc.service")
ASK_AGAIN_SECONDS = 1.0
AGENT, AGENT_SOCKET, CREDENTIALS = "agent", "agent-socket", "credentials"
"""What sockets that systemd hands over are called: FileDescriptorName=."""
BEATS_IN_LEASE = 12
"""How often the threads are asked for a sign of life while a lease lasts: four times before each renewal."""


def serve(config: Path | None) -> None:
    """Be a master secret server until SIGTERM or Ctrl-C."""
    settings = configuration.load(config)
    log_to_stderr(settings.log.level, settings.log.format)
    interrupt_at_end()
    assembly.require_safe_files(settings)
    if settings.listen is None:
        raise ConfigurationError(
            f"{settings.path} has no listen: this is not the master secret server", hint=OF_A_MASTER
        )
    identity = IdentityFiles(settings.resolve(MASTER_IDENTITY))
    with contextlib.ExitStack() as ending:
        service = ending.enter_context(Service(settings.lease.total_seconds() / BEATS_IN_LEASE))
        metrics = measured(settings, service.heart, identity)
        metrics.watch(assembly.plugins_of(settings))
        ending.enter_context(answered(settings, identity, service.health, metrics.text()))
        _await_mapping_store(settings)
        _serve_master(settings, identity, service, metrics)


def _serve_master(settings: Config, identity: IdentityFiles, service: Service, metrics: Unmeasured) -> None:
    from keysvc.installation.doctor import this_machine
    from keysvc.web.master.app import master_app

    context, waiting, notifiers = identity.server_context(), Waiting(), assembly.notifiers_of(settings)
    problems: list[KeysvcError] = []

    def fail(error: KeysvcError) -> None:
        problems.append(error)
        server.stop()

    with (
        assembly.opened_member(
            settings,
            key_store_prompt(settings),
            changed=waiting.changed,
            failed=fail,
            silent=service.heart.silent,
            notifiers=notifiers,
        ) as member,
        listen(*host_and_port("listen", settings.listen or "")) as at,
    ):

        def begin() -> None:
            waiting.serve()
            service.serves(lambda: of_master(member))

        def end() -> None:
            service.stops()
            member.stop()

        reloading = Reloading(
            settings, lambda _: identity.load_pair(context), lambda found: _renotify(found, notifiers, member)
        )
        app = master_app(member, waiting, _join_info(settings, identity), this_machine(settings), metrics.observe)
        server = Server(
            app,
            at,
            context,
            before_end=end,
            at_start=begin,
            reload=lambda: service.reload(reloading.reload),
        )
        service.heart.watch("event loop", server.ask)
        service.heart.watch("worker", member.ask)
        _tell(f"a master secret server of {settings.system_id} is on {settings.own_url}")
        member.start()
        with (
            metrics.of_master(server, member, lambda: assembly.open_mapping_store(settings)),
            kept_renewed(assembly.master_renewal(settings, member, context)),
        ):
            server.run()
    if problems:
        raise problems[0]


def _join_info(settings: Config, identity: IdentityFiles) -> JoinInfo:
    from keysvc.web.master.app import JoinInfo

    return JoinInfo(
        settings.system_id,
        assembly.shareable_mapping_store(settings),
        identity.authority(),
        settings.polling,
        settings.lease,
    )


def _renotify(settings: Config, notifiers: Notifiers, member: Member) -> None:
    """Deliver to those whom the configuration names now; a standby will when it becomes active."""
    gone = notifiers.name(settings.notifier_settings)
    with contextlib.suppress(NotActive):
        member.active.subscribe(notifiers.subscriptions)
    for each in gone:
        close(each)


def agent(config: Path | None) -> None:
    """Be an SSO server for local applications until SIGTERM or Ctrl-C."""
    settings = configuration.load(config)
    log_to_stderr(settings.log.level, settings.log.format)
    interrupt_at_end()
    passed = passed_sockets()
    assembly.require_safe_files(settings)
    assembly.tell_of_plugins(settings)
    identity = assembly.identity(settings)
    identity.require(Role.SERVER)
    with contextlib.ExitStack() as ending:
        service = ending.enter_context(Service())
        metrics = measured(settings, service.heart, identity)
        metrics.watch(assembly.plugins_of(settings))
        ending.enter_context(answered(settings, identity, service.health, metrics.text()))
        _await_mapping_store(settings)
        _serve_agent(settings, identity, service, metrics, passed)


def _serve_agent(
    settings: Config,
    identity: IdentityFiles,
    service: Service,
    metrics: Unmeasured,
    passed: abc.Mapping[str, socket.socket],
) -> None:
    from keysvc.operating.unit_credentials import UnitCredentials
    from keysvc.web.agent.admission import Admission
    from keysvc.web.agent.app import agent_app
    from keysvc.web.agent.local_socket import LocalCallers, listen_at

    name, context = identity.peer().name, identity.server_context()
    with contextlib.ExitStack() as ending:
        at = ending.enter_context(passed.get(AGENT) or listen(*host_and_port("agent", settings.agent)))
        local = passed.get(AGENT_SOCKET)
        if local is None and settings.agent_socket is not None:
            local = ending.enter_context(listen_at(settings.resolve(settings.agent_socket)))
        sso = ending.enter_context(assembly.open_sso(settings))
        store = assembly.open_mapping_store(settings)
        admission = ending.enter_context(Admission(store, settings.system_id, identity.authority(), sso.poll_interval))
        callers = LocalCallers(name, settings.agent_callers)
        app = agent_app(sso, admission, callers, metrics.observe)
        if local is not None:
            on_socket = Server(app, local, None, knows=callers.knows)
            service.heart.watch("event loop of the socket", on_socket.ask)
            ending.enter_context(on_socket.in_background())
        if CREDENTIALS in passed:
            for_units = UnitCredentials(sso, name, settings.unit_credentials, passed[CREDENTIALS])
            ending.callback(for_units.stop)
            for_units.start()
        places = [f"https://{settings.agent}", *([settings.agent_socket] if settings.agent_socket else [])]
        _tell(f"the SSO server {name} is on {' and '.join(places)}")
        reloading = Reloading(settings, lambda _: identity.load_pair(context))
        server = Server(
            app,
            at,
            context,
            before_end=service.stops,
            at_start=lambda: service.serves(lambda: of_agent(sso)),
            reload=lambda: service.reload(reloading.reload),
        )
        service.heart.watch("event loop", server.ask)
        service.heart.watch("worker", sso.ask)
        metrics.of_agent(server, sso)
        server.run()


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
