"""SIGHUP: read the configuration again, and take over what can change while a service runs."""

from __future__ import annotations

from collections import abc
from pathlib import Path

from keysvc.errors import KeysvcError
from keysvc.installation import config as configuration
from keysvc.installation.config import Config
from keysvc.plugin.logs import get_logger, set_level

log = get_logger("keysvc.service")

Take = abc.Callable[[Config], object]
"""Takes over what a service has of its own that can change. Raises KeysvcError."""


class Reloading:
    """Remembers what is in force. What cannot be read, or not taken over, changes nothing and is logged."""

    def __init__(self, config: Config, *take: Take) -> None:
        """`config` is what the service was started with."""
        self._in_force, self._take = config, take

    def reload(self) -> None:
        """Read the configuration again. Never raises."""
        try:
            found = configuration.load(Path(self._in_force.path))
            for take in self._take:
                take(found)
        except KeysvcError as error:
            log.error("the configuration was not reloaded", problem=str(error), hint=error.hint)
            return
        set_level(found.log.level)
        waiting = found.needs_restart(self._in_force)
        if waiting:
            log.warning("these settings count from the next start on", settings=waiting)
        log.info("the configuration was reloaded", log_level=found.log.level)
