"""The token's own process: `python -m keysvc_pkcs11.child`. It answers one message after another, in one thread, until
its parent closes the pipe or dies. A crash of the library, or a hang, ends this process and nothing else."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections import abc
from typing import TYPE_CHECKING, BinaryIO

from keysvc_pkcs11 import wire
from keysvc_pkcs11.refusal import Broken, Refused

if TYPE_CHECKING:
    from keysvc_pkcs11.session import TokenSession

OK, REFUSED, BROKEN, LIBRARY = b"ok", b"refused", b"broken", b"library"
_PR_SET_DUMPABLE = 4
_FINALIZE_SECONDS = 5


def main() -> None:
    """Serve until the pipe ends."""
    requests, replies = _take_pipes()
    _harden()
    open_tokens: list[TokenSession] = []
    while (message := wire.read(requests)) is not None:
        wire.write(replies, _answer(open_tokens, message))
    _alarm_after(_FINALIZE_SECONDS)
    for token in open_tokens:
        token.close()
    os._exit(0)  # a library's own exit handlers have crashed before


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """A library may print: what it writes to standard output must not land between our messages."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    return requests, replies


def _harden() -> None:
    """No core file, and nobody of the same user reads this memory, where the platform can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _alarm_after(seconds: int) -> None:
    """Should the parent be gone, nobody else ends a call that hangs."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _answer(open_tokens: list[TokenSession], message: list[bytes]) -> list[bytes]:
    import pkcs11

    seconds, operation, *arguments = message
    _alarm_after(int(seconds))
    try:
        if operation == b"open":
            open_tokens.append(_open(*arguments))
            return [OK, open_tokens[0].token.serial]
        (token,) = open_tokens
        return [OK, *OPERATIONS[operation.decode()](token, *arguments)]
    except Refused as refused:
        return [REFUSED, str(refused).encode(), refused.hint.encode()]
    except Broken as broken:
        return [BROKEN, str(broken).encode()]
    except pkcs11.PKCS11Error as error:
        return [LIBRARY, type(error).__name__.encode(), str(error).encode()]
    except Exception as error:  # noqa: BLE001  only its name: the text could hold what was sealed
        told = f"{type(error).__name__} in {operation.decode()}, in the token's process"
        return [REFUSED, told.encode(), b"report this to the maintainers of keysvc-pkcs11"]
    finally:
        _alarm_after(0)


def _open(url: bytes, system_id: bytes, pin: bytes, may_follow_a_wrong_pin: bytes) -> TokenSession:
    from keysvc_pkcs11.session import TokenSession
    from keysvc_pkcs11.uri import TokenURI

    uri = TokenURI.parse(url.decode())
    return TokenSession(uri, system_id.decode(), pin.decode(), may_follow_a_wrong_pin=bool(may_follow_a_wrong_pin))


def _get(token: TokenSession, name: bytes) -> list[bytes]:
    content = token.get(name.decode())
    return [] if content is None else [content]


def _put(token: TokenSession, name: bytes, content: bytes) -> list[bytes]:
    token.put(name.decode(), content)
    return []


def _described(token: TokenSession) -> bytes:
    return json.dumps(token.describe()).encode()


OPERATIONS: abc.Mapping[str, abc.Callable[..., abc.Sequence[bytes]]] = {
    "seal": lambda token, secret, context: [token.seal(secret, context), _described(token)],
    "unseal": lambda token, sealed, context: [token.unseal(sealed, context), _described(token)],
    "names": lambda token: [name.encode() for name in token.names()],
    "get": _get,
    "put": _put,
    "delete": lambda token, name: [b"deleted"] if token.delete(name.decode()) else [],
    "random": lambda token, count: [token.random(int(count))],
}
"""What may be asked, each with byte strings and for byte strings. All of them can be repeated."""


if __name__ == "__main__":
    main()
