"""Whether a service has metrics: it has them where probes are answered and keysvc[metrics] is installed."""

from __future__ import annotations

import contextlib
from collections import abc

from keysvc.installation.config import Config
from keysvc.master.cluster_member import Member
from keysvc.operating.probes import Metrics
from keysvc.plugin.heartbeat import Heart
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.loading import Plugins
from keysvc.plugin.logs import get_logger
from keysvc.sso import SSO
from keysvc.web.asgi.routing import Observe, unobserved
from keysvc.web.asgi.server import Server
from keysvc.web.tls.identity_files import IdentityFiles

log = get_logger("keysvc.metrics")


class Unmeasured:
    """No metrics. What has some replaces every method."""

    @property
    def observe(self) -> Observe:
        """What is to hear of each answer."""
        return unobserved

    def watch(self, plugins: Plugins) -> None:
        """Count the calls of every store that is opened from now on."""

    def of_agent(self, server: Server, sso: SSO) -> None:
        """Say what an SSO server knows of itself, too."""

    def of_master(
        self, server: Server, member: Member, open_store: abc.Callable[[], MappingStore]
    ) -> contextlib.AbstractContextManager[None]:
        """Say what a master secret server knows of itself, too, while the context lasts; read a store of its own."""
        del server, member, open_store
        return contextlib.nullcontext()

    def text(self) -> Metrics | None:
        """Return what probes answer with."""
        return None


def measured(config: Config, heart: Heart, identity: IdentityFiles) -> Unmeasured:
    """Return the metrics of this process, if it has any."""
    if config.probes is None:
        return Unmeasured()
    try:
        from keysvc.operating.metrics.exposition import Exposition
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        log.info("there are no metrics: pip install keysvc[metrics]")
        return Unmeasured()
    return Exposition(heart, identity)
