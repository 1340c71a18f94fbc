"""The PIN: where it comes from, and that a wrong one is tried once. A token locks after a few wrong ones."""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from keysvc.plugin import ConfigurationError, KeyStoreUnavailable, Prompt, SecretText
from keysvc_pkcs11.uri import TokenURI

_CORRECT_IT = "correct the PIN in its source: this one is not sent again, so that it cannot lock the token"


class PIN:
    """From `pin-source`, read anew for every login and never kept; otherwise asked for once, and kept to log in again
    at night. What else it keeps are HMACs under a key of this object's own. One thread at a time."""

    def __init__(self, uri: TokenURI, prompt: Prompt) -> None:
        self._uri = uri
        self._prompt = prompt
        self._asked: SecretText | None = None
        self._salt = secrets.token_bytes(32)
        self._first: bytes | None = None
        self._refused: bytes | None = None
        self._proved: bytes | None = None

    def read(self) -> SecretText:
        """Raises KeyStoreUnavailable when there is none, and when it is the one that the token refused."""
        try:
            pin = self._asked or self._prompt("pin")
        except ConfigurationError as error:
            raise KeyStoreUnavailable(str(error), hint=error.hint) from None
        if not self._uri.pin_source:
            self._asked = pin
        self._first = self._first or self._fingerprint(pin)
        if self._fingerprint(pin) == self._refused:
            raise KeyStoreUnavailable(f"the token {self._uri.token_name} refused this PIN before", hint=_CORRECT_IT)
        return pin

    def may_follow_a_wrong_one(self, pin: SecretText) -> bool:
        """Whether it may be sent though the token has counted a wrong one: this process logged in with it before, or
        somebody corrected the source while it ran."""
        return self._fingerprint(pin) == self._proved or self._fingerprint(pin) != self._first

    def was_accepted(self, pin: SecretText) -> None:
        """The token let us in."""
        self._proved, self._refused = self._fingerprint(pin), None

    def was_refused(self, pin: SecretText) -> None:
        """Do not send it again."""
        self._refused, self._proved = self._fingerprint(pin), None

    def _fingerprint(self, pin: SecretText) -> bytes:
        return hmac.digest(self._salt, pin.reveal().encode(), sha256)
