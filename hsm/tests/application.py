"""An application that uses a PKCS #11 module: a process of its own, told on stdin what to call.

A line of stdin is a JSON list, a verb and its arguments; a line of stdout answers with `[return value, result]`. The
return value is null when the function list holds no such function. The module is the first argument.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections import abc
from ctypes import POINTER, byref, c_char_p, c_ubyte, c_ulong, c_void_p, create_string_buffer
from pathlib import Path
from typing import Any, ClassVar

SHIM = Path(__file__).parents[1] / "shim"
NAMES = re.findall(r"^FUNCTION\(\w+, (C_\w+)", (SHIM / "functions.h").read_text("utf-8"), re.MULTILINE)
OK = 0
USER, READ_WRITE = c_ulong(1), c_ulong(2 | 4)
AES_KEY_GEN, AES_GCM = 0x1080, 0x1087
TRUE = c_ubyte(1)

Answer = tuple[int | None, Any]


class FunctionList(ctypes.Structure):
    _fields_: ClassVar = [("version", c_ubyte * 2), *((name, c_void_p) for name in NAMES)]


class InitializeArguments(ctypes.Structure):
    _fields_: ClassVar = [("mutex_functions", c_void_p * 4), ("flags", c_ulong), ("reserved", c_void_p)]


class Attribute(ctypes.Structure):
    _fields_: ClassVar = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class Mechanism(ctypes.Structure):
    _fields_: ClassVar = [("type", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class Gcm(ctypes.Structure):
    _fields_: ClassVar = [
        ("iv", c_void_p),
        ("iv_length", c_ulong),
        ("iv_bits", c_ulong),
        ("aad", c_void_p),
        ("aad_length", c_ulong),
        ("tag_bits", c_ulong),
    ]


class TokenInfo(ctypes.Structure):
    _fields_: ClassVar = [
        ("text", c_ubyte * 96),
        ("flags", c_ulong),
        ("max_sessions", c_ulong),
        ("rest", c_ulong * 9),
        ("versions", c_ubyte * 4),
        ("time", c_ubyte * 16),
    ]


class SessionInfo(ctypes.Structure):
    _fields_: ClassVar = [("slot", c_ulong), ("state", c_ulong), ("flags", c_ulong), ("error", c_ulong)]


class Application:
    """Calls the module; remembers the last slot, session and key, as careless applications do."""

    def __init__(self, module: str) -> None:
        self._library = ctypes.CDLL(module)
        self._library.C_GetFunctionList.restype = c_ulong
        self._functions = POINTER(FunctionList)()
        self._slot, self._session, self._key = c_ulong(), c_ulong(), c_ulong()

    def _call(self, name: str, *arguments: object) -> int | None:
        address = getattr(self._functions.contents, name)
        return int(ctypes.CFUNCTYPE(c_ulong)(address)(*arguments)) if address else None

    def load(self) -> Answer:
        return int(self._library.C_GetFunctionList(byref(self._functions))), None

    def initialize(self) -> Answer:
        return self._call("C_Initialize", byref(InitializeArguments(flags=2))), None  # CKF_OS_LOCKING_OK

    def finalize(self) -> Answer:
        return self._call("C_Finalize", None), None

    def find_slot(self) -> Answer:
        slots, count = (c_ulong * 8)(), c_ulong(8)
        rv = self._call("C_GetSlotList", TRUE, slots, byref(count))
        if rv == OK:
            self._slot = c_ulong(slots[0])
        return rv, slots[0]

    def slot(self) -> Answer:
        return self._call("C_GetSlotInfo", self._slot, create_string_buffer(256)), None

    def token(self) -> Answer:
        info = TokenInfo()
        rv = self._call("C_GetTokenInfo", self._slot, byref(info))
        return rv, {"flags": info.flags, "max_sessions": info.max_sessions}

    def mechanisms(self) -> Answer:
        types, count = (c_ulong * 200)(), c_ulong(200)
        rv = self._call("C_GetMechanismList", self._slot, types, byref(count))
        return rv, list(types[: count.value])

    def mechanism(self, number: int) -> Answer:
        return self._call("C_GetMechanismInfo", self._slot, c_ulong(number), (c_ulong * 3)()), None

    def open(self) -> Answer:
        session = c_ulong()
        rv = self._call("C_OpenSession", self._slot, READ_WRITE, None, None, byref(session))
        if rv == OK:
            self._session = session
        return rv, session.value

    def session(self) -> Answer:
        info = SessionInfo()
        return self._call("C_GetSessionInfo", self._session, byref(info)), info.slot

    def close(self) -> Answer:
        return self._call("C_CloseSession", self._session), None

    def close_all(self) -> Answer:
        return self._call("C_CloseAllSessions", self._slot), None

    def login(self, pin: str) -> Answer:
        return self._call("C_Login", self._session, USER, c_char_p(pin.encode()), c_ulong(len(pin))), None

    def random(self) -> Answer:
        room = create_string_buffer(16)
        return self._call("C_GenerateRandom", self._session, room, c_ulong(16)), None

    def generate(self) -> Answer:
        """A private AES-256 key that lives as long as the session."""
        true, length = (c_ubyte * 1)(1), c_ulong(32)
        template = (Attribute * 4)(
            Attribute(0x2, ctypes.cast(true, c_void_p), 1),  # CKA_PRIVATE
            Attribute(0x104, ctypes.cast(true, c_void_p), 1),  # CKA_ENCRYPT
            Attribute(0x105, ctypes.cast(true, c_void_p), 1),  # CKA_DECRYPT
            Attribute(0x161, ctypes.cast(byref(length), c_void_p), 8),  # CKA_VALUE_LEN
        )
        mechanism = Mechanism(AES_KEY_GEN, None, 0)
        arguments = (byref(mechanism), template, c_ulong(4), byref(self._key))
        return self._call("C_GenerateKey", self._session, *arguments), None

    def _crypt(self, verb: str, data: bytes, iv: bytes) -> Answer:
        room, length, nonce = create_string_buffer(256), c_ulong(256), create_string_buffer(iv, len(iv))
        gcm = Gcm(ctypes.cast(nonce, c_void_p), len(iv), 8 * len(iv), None, 0, 128)
        mechanism = Mechanism(AES_GCM, ctypes.cast(byref(gcm), c_void_p), ctypes.sizeof(gcm))
        rv = self._call(f"C_{verb}Init", self._session, byref(mechanism), self._key)
        if rv == OK:
            rv = self._call(f"C_{verb}", self._session, data, c_ulong(len(data)), room, byref(length))
        return rv, {"iv": nonce.raw.hex(), "data": room.raw[: length.value].hex()}

    def encrypt(self, data: str, iv: str) -> Answer:
        return self._crypt("Encrypt", bytes.fromhex(data), bytes.fromhex(iv))

    def decrypt(self, data: str, iv: str) -> Answer:
        return self._crypt("Decrypt", bytes.fromhex(data), bytes.fromhex(iv))

    def in_child(self, *verbs: str) -> Answer:
        """What the verbs return in a forked child."""
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.write(writer, json.dumps([getattr(self, verb)()[0] for verb in verbs]).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answers:
            return OK, json.loads(answers.read())


def main(module: str, lines: abc.Iterable[str]) -> None:
    application = Application(module)
    for line in lines:
        verb, *arguments = json.loads(line)
        print(json.dumps(getattr(application, verb)(*arguments)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin)
