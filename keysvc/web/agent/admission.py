"""The certificates that an agent admits: enrolled, valid and not revoked, as the mapping store had them just now."""

from __future__ import annotations

import threading
from collections import abc
from types import TracebackType
from typing import Self

from keysvc.crypto.certificates import Peer
from keysvc.errors import KeysvcError
from keysvc.master.enrolment import admitted
from keysvc.model import Identity, utc_now
from keysvc.plugin.background import lasting
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.admission")
LEAST_SECONDS = 1.0
"""Between two readings, however many certificates ask that are not known yet."""


class Admission:
    """Reads the identities again each `interval` seconds, in a thread, while the context lasts; between, and while the
    mapping store is away, what was read last counts. Nobody is let in before the first reading."""

    def __init__(
        self, store: MappingStore, system_id: str, authority: bytes, interval: abc.Callable[[], float]
    ) -> None:
        """`authority` is the certificate (PEM) of the one that signs those of this system."""
        self._store, self._system_id, self._authority, self._interval = store, system_id, authority, interval
        self._known: abc.Mapping[str, Identity] = {}
        self._reading = threading.Lock()
        self._read_at = 0.0
        self._ended = threading.Event()
        self._thread = lasting("admission", self._read_on, self._ended.is_set)

    def __enter__(self) -> Self:
        self._read()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._store.close()

    def admit(self, peer: Peer) -> Identity:
        """Raises AccessDenied, Revoked."""
        return admitted(peer, self._system_id, self._known.get(peer.name), self._authority, utc_now())

    def look_again(self) -> None:
        """Return after a reading that began after this call: a certificate may be newer than the last one. Blocks."""
        asked = elapsed()
        with self._reading:
            if self._read_at > asked or self._ended.wait(max(0.0, self._read_at + LEAST_SECONDS - elapsed())):
                return
            self._read()

    def _read(self) -> None:
        self._read_at = elapsed()
        try:
            self._known = {identity.name: identity for identity in self._store.identities()}
        except KeysvcError as error:
            log.warning("the identities cannot be read", problem=str(error))

    def _read_on(self) -> None:
        while not self._ended.wait(self._interval()):
            self._read()
