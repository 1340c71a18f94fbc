"""A notifier that cannot be opened now: broken or missing plugins cost notifications their time, never the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keysvc.errors import KeysvcError, NotifierUnavailable

if TYPE_CHECKING:
    from collections import abc

    from keysvc.model import Event
    from keysvc.plugin.interfaces import Notifier


class OpenedLater:
    """Opened at the first delivery that succeeds in it; until then events wait in the outbox. `url` may be shown."""

    def __init__(self, url: str, open_notifier: abc.Callable[[], Notifier]) -> None:
        self._url = url
        self._open = open_notifier
        self._notifier: Notifier | None = None

    def deliver(self, event: Event) -> None:
        """Raises NotifierUnavailable, with what keeps it from being opened."""
        if self._notifier is None:
            try:
                self._notifier = self._open()
            except KeysvcError as error:
                raise NotifierUnavailable(f"{self._url} cannot be opened: {error}", hint=error.hint) from None
        self._notifier.deliver(event)

    def close(self) -> None:
        """Repeatable."""
        if self._notifier is not None:
            self._notifier.close()
