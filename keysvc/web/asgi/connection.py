"""Requests to one server: connections are kept, waiting is bounded, errors come back as what was raised."""

from __future__ import annotations

import socket
import ssl
from collections import abc
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
import urllib3
from msgspec.json import Decoder

from keysvc.crypto.certificates import READMIT
from keysvc.crypto.unreadable import UNREADABLE
from keysvc.errors import AccessDenied, ConfigurationError, KeysvcError, MasterSecretServerUnavailable, ProtocolError
from keysvc.web.asgi.problems import error_of
from keysvc.web.asgi.secret_texts import reveal_secret

CONNECT_SECONDS = 3.0
READ_SECONDS = 15.0
MAXIMUM_KEPT = 16
REFUSALS = ("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR", "ACCESS_DENIED")
"""Words of OpenSSL's reasons when this end, or the other, does not accept a certificate (RFC 8446, section 6.2)."""
ALERTS = {
    "CERTIFICATE_EXPIRED": "it says that this machine's certificate has expired",
    "BAD_CERTIFICATE": "it says that this machine's certificate is damaged, or not yet valid by its clock",
    "UNKNOWN_CA": "it says that this machine's certificate is of another system's authority",
}
"""What an alert of TLS means (RFC 8446, section 6.2), by OpenSSL's name of it."""
HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""What Python raises for one and the same end of a connection depends on its release."""
Answer = TypeVar("Answer")
Own = abc.Callable[[], str]
"""Says what is wrong with the dates of this end's certificate now; empty when nothing is."""
RENEWED_AT_START = (
    "check both clocks; a master secret server renews its own certificate: start keysvc serve there again"
)
WRONG_DATES = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


def no_problem() -> str:
    """Where this end shows no certificate."""
    return ""


def with_query(path: str, **parameters: str | int | None) -> str:
    """A path with those parameters that are not None."""
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return f"{path}?{query}" if query else path


class NoAnswer(Exception):
    """No answer came. `error` is what to raise; `sent` whether the request may have been carried out all the same."""

    def __init__(self, error: KeysvcError, *, sent: bool) -> None:
        super().__init__(str(error))
        self.error, self.sent = error, sent


class Requests:
    """Requests through a pool of connections to `what`, which is at `at`."""

    def __init__(self, pool: urllib3.HTTPConnectionPool, what: str, at: str, own: Own = no_problem) -> None:
        self._pool, self._what, self._at, self._own = pool, what, at, own

    def exchange(
        self,
        method: str,
        path: str,
        content: msgspec.Struct | None = None,
        headers: abc.Mapping[str, str] | None = None,
        seconds: float = READ_SECONDS,
    ) -> urllib3.BaseHTTPResponse:
        """The answer, which is no error, within `seconds`. Raises what the server raised, and NoAnswer."""
        body = msgspec.json.encode(content, enc_hook=reveal_secret) if content is not None else None
        kind = {"Content-Type": "application/json"} if body is not None else {}
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds)
        try:
            response = self._pool.urlopen(
                method, path, body=body, headers={**kind, **(headers or {})}, retries=False, timeout=timeout
            )
        except urllib3.exceptions.HTTPError as error:
            if denied := self._denied(error):
                raise NoAnswer(denied, sent=False) from None
            sent = not isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
            problem = f"{self._what} at {self._at} does not answer: {_why(error)}"
            raise NoAnswer(MasterSecretServerUnavailable(problem), sent=sent) from None
        if response.status >= 400:
            raise error_of(response.data, response.status)
        return response

    def _denied(self, error: Exception) -> AccessDenied | None:
        """What to raise when one end does not accept who the other is; None when that is not why no answer came."""
        if not _was_connected(error):
            return None
        if own := self._own():  # the other end may cut the connection before it says so
            return AccessDenied(f"{self._what} at {self._at} does not accept it: {own}", hint=READMIT)
        if not _is_refusal(error):
            return None
        expired = getattr(_reason(error), "verify_code", 0) in WRONG_DATES
        hint = "both ends must be of the same system; if they are, this machine was enrolled again: keysvc server list"
        return AccessDenied(f"{self._what} at {self._at}: {_why(error)}", hint=RENEWED_AT_START if expired else hint)

    def request(
        self,
        method: str,
        path: str,
        content: msgspec.Struct | None = None,
        headers: abc.Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """As `exchange`, but raises MasterSecretServerUnavailable or AccessDenied when no answer came."""
        try:
            return self.exchange(method, path, content, headers)
        except NoAnswer as error:
            raise error.error from None

    def get(self, path: str, decoder: Decoder[Answer], headers: abc.Mapping[str, str] | None = None) -> Answer:
        """A decoded answer."""
        return self.decode(self.request("GET", path, headers=headers), decoder)

    def decode(self, response: urllib3.BaseHTTPResponse, decoder: Decoder[Answer]) -> Answer:
        """Raises ProtocolError."""
        return decode(response, decoder, f"{self._what} at {self._at}")

    def close(self) -> None:
        """Repeatable."""
        self._pool.close()


def decode(response: urllib3.BaseHTTPResponse, decoder: Decoder[Answer], sender: str) -> Answer:
    """Raises ProtocolError."""
    try:
        return decoder.decode(response.data)
    except UNREADABLE:
        raise ProtocolError(f"{sender} sent an answer that cannot be used") from None


class Connection(Requests):
    """To a server whose certificate must name `host`, whatever its address is."""

    def __init__(self, url: str, context: ssl.SSLContext, host: str, what: str, own: Own = no_problem) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ConfigurationError(f"the URL of {what} must be https://HOST:PORT")
        port = parts.port or 443
        pool = urllib3.HTTPSConnectionPool(
            parts.hostname,
            port,
            ssl_context=context,
            server_hostname=host,
            assert_hostname=host,
            retries=False,
            maxsize=MAXIMUM_KEPT,
        )
        super().__init__(pool, what, f"{parts.hostname}:{port}", own)


class _UnixHTTPConnection(urllib3.connection.HTTPConnection):
    """Its host is `localhost`, for the header; where it connects to is a path."""

    path = ""
    account: str | None = None

    def _new_conn(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX)  # type: ignore[attr-defined, unused-ignore]  # Windows has none
        connected.settimeout(CONNECT_SECONDS)
        try:
            connected.connect(self.path)
        except OSError as error:
            connected.close()
            raise urllib3.exceptions.NewConnectionError(self, str(error.strerror)) from None
        from keysvc.web.agent.local_socket import check_listener

        try:
            check_listener(connected, self.path, self.account)
        except AccessDenied:
            connected.close()
            raise
        return connected


class UnixConnection(Requests):
    """To a server on this machine, through a UNIX socket, on which this account, root, or `account` must listen."""

    def __init__(self, path: str, what: str, account: str | None = None) -> None:
        pool = urllib3.HTTPConnectionPool("localhost", retries=False, maxsize=MAXIMUM_KEPT)
        pool.ConnectionCls = type("_ConnectionToPath", (_UnixHTTPConnection,), {"path": path, "account": account})
        super().__init__(pool, what, path)


def _was_connected(error: Exception) -> bool:
    return isinstance(error, urllib3.exceptions.SSLError | urllib3.exceptions.ProtocolError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    )


def _is_refusal(error: Exception) -> bool:
    """Return whether one end does not accept who the other is. Every other failure of TLS is an outage: a connection
    that was cut, a proxy that answers without TLS, an internal error."""
    reason = _reason(error)
    if not isinstance(error, urllib3.exceptions.SSLError):
        return False
    if not isinstance(reason, ssl.SSLError):  # urllib3's own comparison of the name in the certificate
        return True
    return any(word in (reason.reason or "") for word in REFUSALS)


def _reason(error: Exception) -> Any:
    return error.args[0] if error.args else error


def _why(error: Exception) -> str:
    reason = _reason(error)
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection refused or address unknown"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it took too long"
    if isinstance(error, urllib3.exceptions.ProtocolError) or isinstance(reason, HUNG_UP):
        return "the connection was cut"
    if message := getattr(reason, "verify_message", None):
        return f"its certificate is not accepted: {message}"
    if said := ALERTS.get(str(getattr(reason, "reason", None)).rpartition("ALERT_")[2]):
        return f"{said} ({reason.reason})"
    return getattr(reason, "reason", None) or getattr(reason, "strerror", None) or type(error).__name__
