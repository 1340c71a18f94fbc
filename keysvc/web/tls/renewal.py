"""Certificates that renew themselves: in the last third of their life, by whoever uses them."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections import abc
from datetime import timedelta

from keysvc.crypto import certificates
from keysvc.errors import KeysvcError
from keysvc.model import SecretBytes, utc_now
from keysvc.plugin.background import lasting
from keysvc.plugin.logs import get_logger
from keysvc.web.tls.identity_files import IdentityFiles

log = get_logger("keysvc.certificate")
LOOK_SECONDS = 3600.0
URGENT_SECONDS = 5.0
"""How soon a certificate that cannot be used now is looked at again."""
CLOCK_WAS_SET_SECONDS = 60.0
"""By how much the wall clock and the monotonic one must part before a certificate is looked at again at once."""

Renew = abc.Callable[[], tuple[bytes, SecretBytes]]
"""A new certificate and its key. Raises KeysvcError."""


class Renewal:
    """Of the certificate in `files`, which connections of `context` show. Thread-safe; cheap while nothing is due.

    `replaced` is called when another certificate is shown from now on. It should show that one to the master secret
    server soon: until then, whoever has the key of the old one may renew that again.
    """

    def __init__(
        self,
        files: IdentityFiles,
        context: ssl.SSLContext | None,
        renew: Renew,
        replaced: abc.Callable[[], object] = lambda: None,
    ) -> None:
        self._files, self._context, self._renew, self._replaced = files, context, renew, replaced
        self._shown = files.certificate()
        self._look_at = 0.0
        self._clock = _wall_clock_ahead()
        self._one_at_a_time = threading.Lock()

    def when_due(self) -> None:
        """Never raises: what cannot be renewed now is tried again within the hour, for a third of its life; at once
        after the clock was set, and every few seconds while the certificate cannot be used."""
        if self._is_too_soon() or not self._one_at_a_time.acquire(blocking=False):
            return
        try:
            self._clock = _wall_clock_ahead()
            self._look_at = time.monotonic() + LOOK_SECONDS
            if certificates.renewal_is_due(self._files.certificate(), utc_now()):
                self._renew_alone()
            self._show_the_newest()
        except KeysvcError as error:
            log.warning("the certificate could not be renewed", problem=str(error), hint=error.hint)
            self._look_at = min(self._look_at, time.monotonic() + self._retry_seconds())
        finally:
            self._one_at_a_time.release()

    def _retry_seconds(self) -> float:
        with contextlib.suppress(KeysvcError):
            if certificates.is_valid(self._files.certificate(), utc_now()):
                return LOOK_SECONDS
        return URGENT_SECONDS

    def _is_too_soon(self) -> bool:
        """A clock that was set makes what it said about the dates void."""
        was_set = abs(_wall_clock_ahead() - self._clock) > CLOCK_WAS_SET_SECONDS
        return time.monotonic() < self._look_at and not was_set

    def _renew_alone(self) -> None:
        with self._files.alone() as alone:
            if alone and certificates.renewal_is_due(self._files.certificate(), utc_now()):
                certificate, key = self._renew()
                self._files.replace(certificate, key)
                log.info("the certificate was renewed", ends=certificates.not_after(certificate).isoformat())

    def _show_the_newest(self) -> None:
        """It may be another process of this machine that renewed it."""
        newest = self._files.certificate()
        if newest != self._shown:
            if self._context is not None:
                self._files.load_pair(self._context)
            self._shown = newest
            self._replaced()


def _wall_clock_ahead() -> float:
    return time.time() - time.monotonic()


@contextlib.contextmanager
def kept_renewed(renewal: Renewal, pause: timedelta = timedelta(seconds=URGENT_SECONDS)) -> abc.Iterator[None]:
    """Look now and every `pause`, in a thread, while the context lasts."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(pause.total_seconds()):
            renewal.when_due()

    renewal.when_due()
    thread = lasting("certificate", look, ended.is_set)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
