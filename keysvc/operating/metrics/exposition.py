"""The metrics of one service, put together and written as Prometheus reads them."""

from __future__ import annotations

import contextlib
from collections import abc

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from keysvc.master.cluster_member import Member
from keysvc.operating.measuring import Unmeasured
from keysvc.operating.metrics.calls import Calls
from keysvc.operating.metrics.snapshot import Snapshot
from keysvc.operating.metrics.state import AgentState, MasterState, ProcessState
from keysvc.operating.probes import Metrics
from keysvc.plugin.heartbeat import Heart
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.loading import Plugins
from keysvc.sso import SSO
from keysvc.web.asgi.routing import Observe
from keysvc.web.asgi.server import Server
from keysvc.web.tls.identity_files import IdentityFiles


class Exposition(Unmeasured):
    """A registry of its own, so that nothing of an application gets in."""

    def __init__(self, heart: Heart, identity: IdentityFiles) -> None:
        self._heart, self._identity = heart, identity
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._calls = Calls()
        self._registry.register(self._calls)

    @property
    def observe(self) -> Observe:
        """What is to hear of each answer."""
        return self._calls.answered

    def watch(self, plugins: Plugins) -> None:
        """Count the calls of every store that is opened from now on."""
        self._calls.watch(plugins)

    def of_agent(self, server: Server, sso: SSO) -> None:
        """Say what an SSO server knows of itself, too."""
        self._registry.register(ProcessState(self._heart, server, self._identity))
        self._registry.register(AgentState(sso))

    @contextlib.contextmanager
    def of_master(
        self, server: Server, member: Member, open_store: abc.Callable[[], MappingStore]
    ) -> abc.Iterator[None]:
        """Say what a master secret server knows of itself, too."""
        snapshot = Snapshot(open_store(), member)
        self._registry.register(ProcessState(self._heart, server, self._identity))
        self._registry.register(MasterState(member, snapshot))
        snapshot.start()
        try:
            yield
        finally:
            snapshot.stop()

    def text(self) -> Metrics:
        """Return what probes answer with."""
        return Metrics(CONTENT_TYPE_LATEST, lambda: generate_latest(self._registry))
