"""What a return value (CKR) of the library means for keysvc, and what to do about it.

Transient: the token, the session or the library is in a bad way; a new process, which means C_Finalize, C_Initialize
and a new login, may repair it, so the call is repeated. Operator: a person must act, and repeating could do harm.
Everything else is fatal: the token refuses what keysvc asks of it.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class Remedy(enum.Enum):
    """Who can help."""

    TRANSIENT = enum.auto()
    OPERATOR = enum.auto()
    FATAL = enum.auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """A return value, by its name in the standard."""

    name: str
    remedy: Remedy
    hint: str

    @property
    def may_be_about_data(self) -> bool:
        """Whether a token may answer it to a ciphertext that was changed. SoftHSM says CKR_GENERAL_ERROR."""
        return self.remedy is Remedy.FATAL or self.name in _VAGUE


_BRING_BACK = "bring the token back (power, network, its service); keysvc logs in again by itself"
_SEE_LOG = "see the log of the token's service and library; keysvc logs in again by itself"
_CHECK_PIN = "check the PIN and its source; after a wrong one log in once with the right one, to reset the count"

_TRANSIENT = {
    "CKR_BUFFER_TOO_SMALL": _SEE_LOG,  # what python-pkcs11 makes of any failure while it asks for a length
    "CKR_CRYPTOKI_NOT_INITIALIZED": _SEE_LOG,
    "CKR_DEVICE_ERROR": _SEE_LOG,
    "CKR_DEVICE_REMOVED": _BRING_BACK,
    "CKR_FUNCTION_CANCELED": _SEE_LOG,
    "CKR_FUNCTION_FAILED": _SEE_LOG,
    "CKR_GENERAL_ERROR": _SEE_LOG,
    "CKR_HOST_MEMORY": "this machine, or the token's library, is short of memory",
    "CKR_KEY_HANDLE_INVALID": _SEE_LOG,
    "CKR_OBJECT_HANDLE_INVALID": _SEE_LOG,
    "CKR_OPERATION_ACTIVE": _SEE_LOG,
    "CKR_OPERATION_NOT_INITIALIZED": _SEE_LOG,
    "CKR_SESSION_CLOSED": _SEE_LOG,
    "CKR_SESSION_COUNT": "the token has no session left: close other applications, or raise its limit",
    "CKR_SESSION_HANDLE_INVALID": _SEE_LOG,
    "CKR_SLOT_ID_INVALID": _BRING_BACK,
    "CKR_TOKEN_NOT_PRESENT": "bring the token back (power, network, its service), or correct its name in the URL",
    "CKR_TOKEN_NOT_RECOGNIZED": _BRING_BACK,
    "CKR_UNWRAPPING_KEY_HANDLE_INVALID": _SEE_LOG,
    "CKR_USER_NOT_LOGGED_IN": _SEE_LOG,
    "CKR_WRAPPING_KEY_HANDLE_INVALID": _SEE_LOG,
}
_OPERATOR = {
    "CKR_DEVICE_MEMORY": "the token is full: remove objects that nobody needs, or give it more room",
    "CKR_PIN_EXPIRED": "set a new user PIN with the token's own tool, then put it into the PIN's source",
    "CKR_PIN_INCORRECT": _CHECK_PIN,
    "CKR_PIN_INVALID": _CHECK_PIN,
    "CKR_PIN_LEN_RANGE": _CHECK_PIN,
    "CKR_PIN_LOCKED": "the security officer unlocks the user PIN with the token's own tool",
    "CKR_SESSION_READ_ONLY": "the token lets this user only read: what is sealed opens, nothing new is sealed",
    "CKR_TOKEN_WRITE_PROTECTED": "the token is write-protected: what is sealed opens, nothing new is sealed",
    "CKR_USER_ANOTHER_ALREADY_LOGGED_IN": "another user is logged in: close the other application",
    "CKR_USER_PIN_NOT_INITIALIZED": "the token has no user PIN: its security officer sets one (C_InitPIN)",
    "CKR_USER_TOO_MANY_TYPES": "another user is logged in: close the other application",
}
_FATAL = "the token does not allow what keysvc needs; hsm/ has notes on tokens and their traps"
PIN_REFUSED = frozenset({"CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE"})

_VAGUE = frozenset({"CKR_DEVICE_ERROR", "CKR_FUNCTION_FAILED", "CKR_GENERAL_ERROR"})

_CODES = {0x00000068: "CKR_KEY_FUNCTION_NOT_PERMITTED"}
_TEXTS = {"not initialized": "CKR_CRYPTOKI_NOT_INITIALIZED", "Buffer was too small": "CKR_BUFFER_TOO_SMALL"}
_IRREGULAR = {
    "FunctionCancelled": "CKR_FUNCTION_CANCELED",
    "TokenNotRecognised": "CKR_TOKEN_NOT_RECOGNIZED",
    "AnotherUserAlreadyLoggedIn": "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
}


def fault_of(exception: str, text: str) -> Fault:
    """From the name and the text of python-pkcs11's exception."""
    if text.startswith("OS exception while loading"):
        return Fault(text, Remedy.OPERATOR, "correct module-path in the URL, or install the library that it names")
    name = _ckr(exception, text)
    for remedy, hints in ((Remedy.TRANSIENT, _TRANSIENT), (Remedy.OPERATOR, _OPERATOR)):
        if name in hints:
            return Fault(name, remedy, hints[name])
    return Fault(name, Remedy.FATAL, _FATAL)


def _ckr(exception: str, text: str) -> str:
    if exception == "PKCS11Error":
        for part, name in _TEXTS.items():
            if part in text:
                return name
        if code := re.search(r"0x[0-9a-f]+", text):
            return _CODES.get(int(code[0], 16), f"CKR {code[0]}")
        return text or exception
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", exception)
    return _IRREGULAR.get(exception) or f"CKR_{words.upper()}"
