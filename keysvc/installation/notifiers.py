"""The notifiers of a running master secret server, as its configuration names them now."""

from __future__ import annotations

import functools
from collections import abc
from typing import TYPE_CHECKING

from keysvc.errors import KeysvcError
from keysvc.installation.config import NotifierSettings
from keysvc.plugin.logs import get_logger

if TYPE_CHECKING:
    from keysvc.master.delivery import Subscription
    from keysvc.plugin.interfaces import Notifier

log = get_logger("keysvc.plugins")


class Notifiers:
    """Opens each notifier once, and keeps it open as long as the configuration names it. For one thread at a time."""

    def __init__(self, open_notifier: abc.Callable[[str], Notifier]) -> None:
        """`open_notifier` opens a URL."""
        self._open = open_notifier
        self._opened: dict[NotifierSettings, Subscription] = {}

    @property
    def subscriptions(self) -> abc.Sequence[Subscription]:
        """Every notifier, with the events that it wants."""
        return tuple(self._opened.values())

    def name(self, wanted: abc.Iterable[NotifierSettings]) -> abc.Sequence[Subscription]:
        """Open those that are new. Return those that are named no more: nothing may be delivered when they are closed.
        One that cannot be opened is logged, and tried again at each delivery."""
        before = self._opened
        self._opened = {each: before.get(each) or self._subscription(each) for each in wanted}
        return tuple(gone for each, gone in before.items() if each not in self._opened)

    def close(self) -> None:
        """Close every one. Idempotent."""
        for subscription in self.name(()):
            close(subscription)

    def _subscription(self, settings: NotifierSettings) -> Subscription:
        from keysvc.master.delivery import Subscription

        return Subscription(settings.shown, self._open_or_later(settings), settings.events, settings.severity)

    def _open_or_later(self, settings: NotifierSettings) -> Notifier:
        open_it = functools.partial(self._open, settings.url)
        try:
            return open_it()
        except KeysvcError as error:
            from keysvc.master.lazy_notifier import OpenedLater

            log.error("a notifier cannot be opened", notifier=settings.shown, problem=str(error), hint=error.hint)
            return OpenedLater(settings.shown, open_it)


def close(subscription: Subscription) -> None:
    """Close a notifier. One that fails in this has done its work."""
    try:
        subscription.notifier.close()
    except KeysvcError as error:
        log.warning("a notifier could not be closed", notifier=subscription.name, problem=str(error))
