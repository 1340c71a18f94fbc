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
from keysvc.plugin.logs import get_logger
from keysvc.web.tls.identity_files import IdentityFiles

log = get_logger("keysvc.certificate")
LOOK_SECONDS = 3600.0

Renew = abc.Callable[[], tuple[bytes, SecretBytes]]
"""A new certificate and its key. Raises KeysvcError."""


class Renewal:
    """Of the certificate in `files`, which connections of `context` show. Thread-safe; cheap while nothing is due."""

    def __init__(self, files: IdentityFiles, context: ssl.SSLContext | None, renew: Renew) -> None:
        self._files, self._context, self._renew = files, context, renew
        self._shown = files.certificate()
        self._look_at = 0.0
        self._one_at_a_time = threading.Lock()

    def when_due(self) -> None:
        """Never raises: what cannot be renewed now is tried again within the hour, for a third of its life."""
        if time.monotonic() < self._look_at or not self._one_at_a_time.acquire(blocking=False):
            return
        try:
            self._look_at = time.monotonic() + LOOK_SECONDS
            if certificates.renewal_is_due(self._files.certificate(), utc_now()):
                self._renew_alone()
            self._show_the_newest()
        except KeysvcError as error:
            log.warning("the certificate could not be renewed", problem=str(error), hint=error.hint)
        finally:
            self._one_at_a_time.release()

    def _renew_alone(self) -> None:
        with self._files.alone() as alone:
            if alone and certificates.renewal_is_due(self._files.certificate(), utc_now()):
                certificate, key = self._renew()
                self._files.replace(certificate, key)
                log.info("the certificate was renewed", ends=certificates.not_after(certificate).isoformat())

    def _show_the_newest(self) -> None:
        """It may be another process of this machine that renewed it."""
        newest = self._files.certificate()
        if self._context is not None and newest != self._shown:
            self._files.load_pair(self._context)
        self._shown = newest


@contextlib.contextmanager
def kept_renewed(renewal: Renewal, pause: timedelta = timedelta(hours=1)) -> abc.Iterator[None]:
    """Look now and every `pause`, in a thread, while the context lasts."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(pause.total_seconds()):
            renewal.when_due()

    renewal.when_due()
    thread = threading.Thread(target=look, name="certificate", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
