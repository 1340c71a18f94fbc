"""Who is let into the console: addresses that open it once, and the one session that such an address begins."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import abc
from dataclasses import dataclass, field

from keysvc.plugin.clock import elapsed

START_SECONDS = 120.0
"""How long an address that was not opened yet may be."""
IDLE_SECONDS = 30 * 60.0
LONGEST_SECONDS = 12 * 3600.0
COOKIE = "keysvc_console"
MAXIMUM_NOTES = 8


@dataclass(slots=True)
class Session:
    """One browser that opened the console. `csrf` is in each of its forms."""

    id_hash: bytes
    csrf: str
    began: float
    seen: float
    notes: list[tuple[str, str]] = field(default_factory=list)
    """What the next page says once: a kind (`done`, `problem`) and a text."""
    kept: tuple[str, object] | None = None
    """What one page shows and the next one carries out, by a name."""

    def note(self, text: str, kind: str = "done") -> None:
        """Say it on the next page."""
        self.notes = [*self.notes, (kind, text)][-MAXIMUM_NOTES:]

    def take_notes(self) -> list[tuple[str, str]]:
        """Return what is to be said, once."""
        taken, self.notes = self.notes, []
        return taken


class Gate:
    """Thread-safe. `origin` is http://HOST:PORT of the console.

    All pages are below a random `prefix`. The cookie is for that path alone: a browser shows cookies to every port of a
    host, so that another server of this machine would be shown one without it.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.prefix = f"/{secrets.token_urlsafe(12)}"
        self.tell: abc.Callable[[str, str], None] = lambda _address, _why: None
        self._lock = threading.Lock()
        self._token = b""
        self._expires = 0.0
        self._used: bytes = b""
        self._session: Session | None = None

    @property
    def host(self) -> str:
        """As the Host header has to say it."""
        return self.origin.partition("://")[2]

    def new_address(self, why: str) -> str:
        """Make an address that opens the console once, in place of the one before; tell it to whoever started it."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._token, self._expires = _hash(token), elapsed() + START_SECONDS
        address = f"{self.origin}{self.prefix}/start/{token}"
        self.tell(address, why)
        return address

    def open(self, token: str) -> str | None:
        """Begin a session, in place of any other, and return its cookie; None for an address that opens nothing.

        An address that was used before ends the session that it opened: whoever opened it may have stolen it.
        """
        given = _hash(token)
        with self._lock:
            if self._token and hmac.compare_digest(given, self._token) and elapsed() < self._expires:
                cookie, now = secrets.token_urlsafe(32), elapsed()
                self._used, self._token = self._token, b""
                self._session = Session(_hash(cookie), secrets.token_urlsafe(32), now, now)
                return cookie
            stolen = bool(self._used) and hmac.compare_digest(given, self._used)
            late = bool(self._token) and hmac.compare_digest(given, self._token)
            if stolen:
                self._session, self._used = None, b""
        if stolen:
            self.new_address("an address was opened a second time: the session that it began was ended")
        elif late:
            self.new_address(f"the address was not opened within {START_SECONDS:g} s: here is another")
        return None

    def session(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, unless it ended or was idle for too long."""
        with self._lock:
            found, now = self._session, elapsed()
            if cookie is None or found is None or not hmac.compare_digest(_hash(cookie), found.id_hash):
                return None
            if now - found.seen > IDLE_SECONDS or now - found.began > LONGEST_SECONDS:
                self._session = None
                return None
            found.seen = now
            return found

    def end(self) -> None:
        """End the session; a new address lets its owner in again."""
        with self._lock:
            self._session, self._used = None, b""
        self.new_address("signed out")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
