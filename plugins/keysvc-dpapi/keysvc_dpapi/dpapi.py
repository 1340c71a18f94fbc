"""A sealer over Windows' Data Protection API (DPAPI). Windows only."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections import abc
from ctypes.wintypes import BYTE
from enum import StrEnum

from keysvc.plugin import KeyStoreInfo, KeyStoreUnavailable, SealBroken, SecretBytes
from keysvc_dpapi import win32

ENTROPY_LABEL = b"keysvc DPAPI entropy v1\n"
DESCRIPTION = "keysvc master secret"  # Windows writes an audit entry only for what has a description
# ERROR_FILE_NOT_FOUND (the user's profile is not loaded), ACCESS_DENIED, NOT_ENOUGH_MEMORY, OUTOFMEMORY,
# SHUTDOWN_IN_PROGRESS, NO_SYSTEM_RESOURCES; RPC_S_SERVER_UNAVAILABLE, RPC_S_SERVER_TOO_BUSY, RPC_S_CALL_FAILED
UNAVAILABLE = frozenset({2, 5, 8, 14, 1115, 1450, 1722, 1723, 1726})


class Scope(StrEnum):
    """Whose key seals: the machine's, or the user account's that the process runs as."""

    MACHINE = "machine"
    USER = "user"


class DpapiSealer:
    """CryptProtectData, with the context as optional entropy, and so bound to the system and the version.

    Never shows a window (CRYPTPROTECT_UI_FORBIDDEN); asks for an audit entry of each use (CRYPTPROTECT_AUDIT).
    """

    def __init__(self, url: str, scope: Scope) -> None:
        self._url = url
        self._scope = scope
        self._flags = win32.CRYPTPROTECT_UI_FORBIDDEN | win32.CRYPTPROTECT_AUDIT
        if scope is Scope.MACHINE:
            self._flags |= win32.CRYPTPROTECT_LOCAL_MACHINE

    def info(self) -> KeyStoreInfo:
        """Names the scope. An administrator of the machine can take its DPAPI keys away."""
        return KeyStoreInfo(self._url, f"DPAPI, {self._scope} scope", hardware=False, exportable=True)

    def seal(self, secret: SecretBytes, context: bytes) -> bytes:
        """A DPAPI blob. Raises KeyStoreUnavailable."""
        with _lent(secret.reveal()) as clear, _lent(ENTROPY_LABEL + context) as entropy, _received() as sealed:
            if not win32.CryptProtectData(clear, DESCRIPTION, entropy, None, None, self._flags, sealed):
                raise KeyStoreUnavailable(f"DPAPI does not seal: {_last_error()}", hint=_mend(self._scope))
            return ctypes.string_at(sealed.pbData, sealed.cbData)

    def unseal(self, sealed: bytes, context: bytes) -> SecretBytes:
        """Raises SealBroken, KeyStoreUnavailable."""
        with _lent(sealed) as blob, _lent(ENTROPY_LABEL + context) as entropy, _received() as clear:
            if not win32.CryptUnprotectData(blob, None, entropy, None, None, self._flags, clear):
                if ctypes.get_last_error() in UNAVAILABLE:
                    raise KeyStoreUnavailable(f"DPAPI does not answer: {_last_error()}", hint=_mend(self._scope))
                raise SealBroken(f"changed, or sealed on another machine or by another account ({_last_error()})")
            return SecretBytes(ctypes.string_at(clear.pbData, clear.cbData))

    def random(self, count: int) -> bytes:
        """The operating system's."""
        return os.urandom(count)

    def close(self) -> None:
        """Nothing is held."""


@contextlib.contextmanager
def _lent(content: bytes) -> abc.Iterator[win32.DATA_BLOB]:
    """A copy for the time of a call, wiped afterwards."""
    copy = (BYTE * len(content)).from_buffer_copy(content)
    try:
        yield win32.DATA_BLOB(len(content), copy)
    finally:
        ctypes.memset(copy, 0, len(content))


@contextlib.contextmanager
def _received() -> abc.Iterator[win32.DATA_BLOB]:
    """What Windows allocates, wiped before it is given back."""
    blob = win32.DATA_BLOB()
    try:
        yield blob
    finally:
        if blob.pbData:
            ctypes.memset(blob.pbData, 0, blob.cbData)
            win32.LocalFree(ctypes.cast(blob.pbData, ctypes.c_void_p))


def _last_error() -> str:
    return f"error 0x{ctypes.get_last_error() & 0xFFFFFFFF:08X}"


def _mend(scope: Scope) -> str:
    if scope is Scope.USER:
        return "scope=user needs the account's profile loaded: log on with it once, or use scope=machine"
    return "see that the Cryptographic Services of Windows run, then try again"
