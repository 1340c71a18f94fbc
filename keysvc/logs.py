"""Loggers of structlog, which is imported when something is said first: it takes longer than most commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Log:
    """`event` is what happened, without values; `values` are never secret."""

    name: str

    def debug(self, event: str, **values: Any) -> None:
        """What only who looks for a fault wants to know."""
        self._logger().debug(event, **values)

    def info(self, event: str, **values: Any) -> None:
        """What is as it should be."""
        self._logger().info(event, **values)

    def warning(self, event: str, **values: Any) -> None:
        """What somebody should look at some day."""
        self._logger().warning(event, **values)

    def error(self, event: str, **values: Any) -> None:
        """What somebody should look at now."""
        self._logger().error(event, **values)

    def _logger(self) -> Any:
        import structlog

        return structlog.get_logger(self.name)


def get_logger(name: str) -> Log:
    """`name` is not shown; it tells loggers apart in tests and filters."""
    return Log(name)
