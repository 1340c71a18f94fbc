"""Loggers of structlog, which is imported when something is said first: it takes longer than most commands."""

from __future__ import annotations

import sys
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


def log_to_stderr() -> None:
    """One line an event: for people on a terminal, JSON elsewhere. What plugins warn of looks the same."""
    import logging

    import structlog
    from structlog.stdlib import ProcessorFormatter

    ours: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    line = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*ours, line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setLevel(logging.WARNING)
    theirs.setFormatter(ProcessorFormatter(line, foreign_pre_chain=ours))
    logging.getLogger().addHandler(theirs)


def warnings_only() -> None:
    """For commands that run an SSO server for a moment: its log is not what was asked for."""
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
