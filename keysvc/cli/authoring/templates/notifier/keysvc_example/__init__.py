"""A notifier: `example:///FILE`. Each event is a line of JSON at the end of a file. The plugin `example`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keysvc.plugin import (
    ConfigurationError,
    Event,
    Notifier,
    NotifierUnavailable,
    Opening,
    Register,
    cloudevent,
    hookimpl,
)

KEYSVC_API = 2


@hookimpl
def keysvc_notifiers(register: Register[Notifier]) -> None:
    """Register `example:`."""
    register(
        "example",
        open_example,
        summary="a line of JSON for each event, at the end of a file",
        options={},
    )


def open_example(opening: Opening) -> Notifier:
    """Raises ConfigurationError for a path that is not absolute."""
    path = Path(opening.location.path)
    if not path.is_absolute():
        raise ConfigurationError(
            "example: needs an absolute path",
            hint="write example:///var/log/keysvc.jsonl",
        )
    return ExampleNotifier(path, opening.system_id)


class ExampleNotifier:
    """A `keysvc.plugin.interfaces.Notifier`."""

    def __init__(self, path: Path, system_id: str) -> None:
        self._path = path
        self._system_id = system_id

    def deliver(self, event: Event) -> None:
        """On the disk when it returns. Raises NotifierUnavailable: keysvc tries again, with the same event_id."""
        line = json.dumps(cloudevent(event, self._system_id))
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NotifierUnavailable(f"{self._path}: {error.strerror}") from None

    def close(self) -> None:
        """Nothing is held open."""
