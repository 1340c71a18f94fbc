"""Errors on the wire: a KeysvcError becomes a status and an RFC 9457 problem, and back. The only place that knows
HTTP status numbers of errors."""

from __future__ import annotations

import msgspec

from keysvc import errors
from keysvc.crypto.unreadable import UNREADABLE
from keysvc.errors import KeysvcError

OUTAGES = (502, 503, 504)
"""Statuses that a server, or a proxy before it, sends while it cannot answer."""
MEDIA_TYPE = "application/problem+json"
_STATUS: dict[type[KeysvcError], int] = {
    errors.InvalidInput: 400,
    errors.ConfigurationError: 400,
    errors.ProtocolError: 400,
    errors.RateLimited: 429,
    errors.BackupError: 400,
    errors.AccessDenied: 403,
    errors.AuthorizerUnavailable: 503,
    errors.NotFound: 404,
    errors.VersionNotFound: 404,
    errors.Conflict: 409,
    errors.Changed: 412,
    errors.VersionInUse: 409,
    errors.VersionAlreadySealed: 409,
    errors.AlreadyConfigured: 409,
    errors.StaleVersion: 409,
    errors.CannotDecrypt: 422,
    errors.NotConfigured: 503,
    errors.LeaseHeld: 503,
    errors.Fenced: 503,
    errors.MasterSecretServerUnavailable: 503,
    errors.KeyStoreError: 503,
    errors.MappingStoreError: 503,
}


class Problem(msgspec.Struct, frozen=True):
    """The body of every error. `code`, `hint`, `retryable` and `active` are keysvc's own members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    retryable: bool = False
    active: str = ""


def status_of_kind(kind: type[KeysvcError]) -> int:
    """The nearest class that has a status decides; 500 for one that nobody thought of."""
    return next((_STATUS[known] for known in kind.__mro__ if known in _STATUS), 500)


def title_of(kind: type[KeysvcError]) -> str:
    """What every error of a class has in common: its documentation's first sentence."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def problem_of(error: KeysvcError) -> Problem:
    """What is sent. An error's text never holds a secret."""
    return Problem(
        f"urn:keysvc:error:{error.code}",
        title_of(type(error)),
        status_of_kind(type(error)),
        str(error),
        error.code,
        error.hint,
        error.retryable,
        error.active if isinstance(error, errors.NotActive) else "",
    )


_PROBLEM = msgspec.json.Decoder(Problem)


def error_of(body: bytes, status: int) -> KeysvcError:
    """What a client raises for a problem that it received."""
    try:
        problem = _PROBLEM.decode(body)
    except UNREADABLE:
        if status in OUTAGES:
            return errors.MasterSecretServerUnavailable(f"the answer has status {status} and is no problem of keysvc")
        return errors.ProtocolError(f"the answer has status {status} and is no problem of keysvc")
    kind = _by_code().get(problem.code, KeysvcError)
    if kind is errors.NotActive:
        return errors.NotActive(problem.detail, hint=problem.hint or None, active=problem.active)
    return kind(problem.detail, hint=problem.hint or None)


def _by_code() -> dict[str, type[KeysvcError]]:
    found: dict[str, type[KeysvcError]] = {}
    waiting: list[type[KeysvcError]] = [KeysvcError]
    while waiting:
        kind = waiting.pop()
        found[kind.code] = kind
        waiting.extend(kind.__subclasses__())
    return found
