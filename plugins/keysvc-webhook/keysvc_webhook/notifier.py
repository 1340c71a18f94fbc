"""One POST for each event, over a connection of its own to an address that was looked at before."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections import abc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from standardwebhooks import Webhook

from keysvc.plugin import (
    CONTENT_TYPE,
    ConfigurationError,
    Event,
    NotifierRefused,
    NotifierUnavailable,
    SecretText,
    cloudevent,
)
from keysvc_webhook.addresses import public, resolve
from keysvc_webhook.waiting import seconds_to_wait

SECONDS = 10.0
REPEATABLE = frozenset({408, 425, 429})
"""Request Timeout, Too Early, Too Many Requests: the statuses between 400 and 499 that may pass by themselves."""


class WebhookNotifier:
    """Delivered means that the receiver answered 2xx. A whole delivery takes `seconds` at most, behind the look-up of
    the name, whose time is the resolver's. Any thread may call it."""

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        secrets: abc.Sequence[SecretText],
        context: ssl.SSLContext,
        *,
        system_id: str,
        allow_private: bool = False,
        seconds: float = SECONDS,
        lookup: abc.Callable[[str, int], abc.Sequence[str]] = resolve,
    ) -> None:
        self._host, self._port, self._path = host, port, path
        self._secrets = tuple(secrets)
        self._context = context
        self._system_id = system_id
        self._allow_private = allow_private
        self._seconds = seconds
        self._lookup = lookup

    def __repr__(self) -> str:
        return f"WebhookNotifier({self._host}:{self._port})"

    def deliver(self, event: Event) -> None:
        """Raises NotifierUnavailable (network, TLS, time-out, 408, 425, 429, 5xx; with the seconds of `Retry-After`),
        NotifierRefused (3xx, other 4xx)."""
        body = json.dumps(cloudevent(event, self._system_id), separators=(",", ":"))
        status, wait = self._post(body, self._headers(event, body))
        if 200 <= status < 300:
            return
        problem = f"the webhook {self._host} answered {status}"
        if 300 <= status < 400:
            raise NotifierRefused(problem, hint="redirects are not followed: configure the URL that it leads to")
        if 400 <= status < 500 and status not in REPEATABLE:
            raise NotifierRefused(problem)
        raise NotifierUnavailable(problem, retry_after=wait)

    def close(self) -> None:
        """Nothing is held."""

    def _headers(self, event: Event, body: str) -> dict[str, str]:
        now = datetime.now(UTC)
        signatures = [Webhook(secret.reveal()).sign(event.event_id, now, body) for secret in self._secrets]
        return {
            "content-type": CONTENT_TYPE,
            "user-agent": "keysvc-webhook",
            "connection": "close",
            "webhook-id": event.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _post(self, body: str, headers: abc.Mapping[str, str]) -> tuple[int, float | None]:
        """Return the answer's status, and the seconds that it asks to wait. Its body is not read."""
        connection = _HTTPConnection(self._host, self._port)
        try:
            connection.sock = self._connect()
            connection.request("POST", self._path, body=body.encode("ascii"), headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, seconds_to_wait(answer.headers["retry-after"], answer.headers["date"])
        except (OSError, http.client.HTTPException) as error:
            raise NotifierUnavailable(f"the webhook {self._host} cannot be reached: {_why(error)}") from None
        finally:
            connection.close()

    def _connect(self) -> ssl.SSLSocket:
        """To the very address that was checked, so that no second look-up can lead elsewhere; TLS and HTTP keep the
        name."""
        found = self._lookup(self._host, self._port)
        allowed = found if self._allow_private else public(found)
        if not allowed:
            raise NotifierUnavailable(
                f"the webhook {self._host} has no public address",
                hint="correct the DNS, or add allow-private=yes if the receiver is meant to be in a private network",
            )
        deadline = time.monotonic() + self._seconds
        plain = _first_that_answers(allowed, self._port, deadline)
        try:
            plain.settimeout(_left(deadline))
            secured = cast("_Bounded", self._context.wrap_socket(plain, server_hostname=self._host))
        except BaseException:
            plain.close()
            raise
        secured.deadline = deadline
        return secured


class _HTTPConnection(http.client.HTTPConnection):
    """Over a socket that is TLS already; never opens one of its own."""

    default_port = 443
    auto_open = 0


class _Bounded(ssl.SSLSocket):
    """Reads until a deadline, however slowly the bytes drip in."""

    deadline = 0.0

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        """As SSLSocket's. Raises TimeoutError."""
        self.settimeout(_left(self.deadline))
        return super().recv_into(*arguments, **named)


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later to a receiver that the authorities in `ca_file`, else the system's, vouch for.
    Raises ConfigurationError."""
    if ca_file is not None and not ca_file.is_absolute():
        raise ConfigurationError("ca-file needs an absolute path")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca-file {ca_file}: {error.strerror or 'it holds no PEM certificate'}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Bounded
    return context


def _first_that_answers(addresses: abc.Sequence[str], port: int, deadline: float) -> socket.socket:
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), _left(deadline) / 2)
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), _left(deadline))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left


def _why(error: Exception) -> str:
    """One line without the receiver's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError):
        return getattr(error, "reason", None) or error.strerror or "the connection broke"
    return "it does not speak HTTP"
