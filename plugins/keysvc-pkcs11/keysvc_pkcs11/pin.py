"""The PIN: where it comes from, and that a wrong one is tried once. A token locks after a few wrong ones."""

from __future__ import annotations

import hmac
import secrets
import stat
import threading
from hashlib import sha256

from keysvc.errors import KeyStoreUnavailable
from keysvc.interfaces import Prompt
from keysvc.model import SecretText
from keysvc_pkcs11.uri import TokenURI

REFUSED = "correct the PIN in its source: this one is not sent again, so that it cannot lock the token"


class PIN:
    """From the file of `pin-source`, read anew for every login and never kept; otherwise asked for, and kept to log in
    again at night."""

    def __init__(self, uri: TokenURI, prompt: Prompt) -> None:
        self._uri = uri
        self._prompt = prompt
        self._asked: SecretText | None = None
        self._lock = threading.Lock()
        self._salt = secrets.token_bytes(32)
        self._refused: bytes | None = None
        self._proved: bytes | None = None

    def read(self) -> SecretText:
        """Raises KeyStoreUnavailable when there is none, and when it is the one that the token refused."""
        pin = self._from_file() if self._uri.pin_file else self._from_prompt()
        if self._fingerprint(pin) == self._refused:
            raise KeyStoreUnavailable(f"the token {self._uri.token_name} refused this PIN before", hint=REFUSED)
        return pin

    def may_follow_a_wrong_one(self, pin: SecretText) -> bool:
        """Whether it may be sent though the token has counted a wrong one: this process logged in with it before, or
        was given it after its own wrong one."""
        return self._refused is not None or self._fingerprint(pin) == self._proved

    def was_accepted(self, pin: SecretText) -> None:
        """The token let us in."""
        self._proved, self._refused = self._fingerprint(pin), None

    def was_refused(self, pin: SecretText) -> None:
        """Do not send it again."""
        self._refused, self._proved = self._fingerprint(pin), None

    def _fingerprint(self, pin: SecretText) -> bytes:
        return hmac.digest(self._salt, pin.reveal().encode(), sha256)

    def _from_prompt(self) -> SecretText:
        with self._lock:
            if self._asked is None:
                self._asked = self._prompt(f"PIN of the token {self._uri.token_name}")
            return self._asked

    def _from_file(self) -> SecretText:
        path = self._uri.pin_file
        assert path is not None  # noqa: S101  the caller looked
        try:
            with path.open("rb") as file:
                if stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO:
                    raise KeyStoreUnavailable(f"the PIN file {path} can be read by others", hint=f"chmod 600 {path}")
                pin = file.read(1024).decode("utf-8").rstrip("\r\n")
        except OSError as error:
            raise KeyStoreUnavailable(f"the PIN file {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise KeyStoreUnavailable(f"the PIN file {path} is not UTF-8 text") from None
        if not pin:
            raise KeyStoreUnavailable(f"the PIN file {path} is empty")
        return SecretText(pin)
