"""Credentials for units of systemd: LoadCredential=NAME:/run/keysvc/credentials.sock in a unit, and the unit finds the
credential in a file of its own. No application needs a line of code for that.

systemd connects as root, from an abstract address that says which credential of which unit is wanted
(systemd.exec(5)), and takes what is sent. A policy in the configuration says which unit may have what."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
import threading
from collections import abc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keysvc.errors import AccessDenied, KeysvcError, NotFound
from keysvc.installation.config import UnitCredential
from keysvc.model import Role
from keysvc.plugin.background import lasting
from keysvc.plugin.logs import Limited, get_logger
from keysvc.sso import SSO
from keysvc.sso.permissions import Principal
from keysvc.sso.requests.credentials import LookUpCredential

log = get_logger("keysvc.credentials")
REFUSALS = Limited(log, 10)
SECONDS = 10.0
THREADS = 8
LOOK_SECONDS = 0.5
"""How long an end waits for the thread that accepts, at most."""
MOST_BYTES = 1024 * 1024
"""Of a credential, for systemd."""
NONE = b"\0" * (MOST_BYTES + 1)
"""What is sent instead of a credential that there is not: one that is empty would start the unit, and one that is too
large does not (243/CREDENTIALS)."""
_CREDENTIALS = struct.Struct("3i")  # struct ucred of Linux: process, user, group


@dataclass(frozen=True, slots=True)
class Wanted:
    """A credential of a unit, as the one names it in LoadCredential= of the other."""

    unit: str
    name: str

    @classmethod
    def of(cls, address: bytes | str) -> Wanted:
        r"""Read the address from which systemd connects: \0RANDOM/unit/UNIT/NAME. Raises AccessDenied."""
        text = address.decode("utf-8", "replace") if isinstance(address, bytes) else address
        parts = text.split("/")
        if len(parts) != 4 or not text.startswith("\0") or parts[1] != "unit" or not parts[2] or not parts[3]:
            raise AccessDenied("who asks does not say which credential of which unit, as systemd does")
        return cls(parts[2], parts[3])


class UnitCredentials:
    """Answers systemd on a listening socket, by the policy, while the context lasts."""

    def __init__(self, sso: SSO, machine: str, policy: abc.Sequence[UnitCredential], at: socket.socket) -> None:
        r"""A unit is named as local accounts are, in the audit too: MACHINE\UNIT."""
        self._sso, self._machine, self._policy, self._at = sso, machine, policy, at
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, "unit-credentials")
        self._thread = lasting("unit-credentials", self._accept, self._ended.is_set)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more. The socket is systemd's: it stays as it is, for the next process. Idempotent."""
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join()
            self._pool.shutdown(cancel_futures=True)

    def credential(self, wanted: Wanted) -> bytes:
        """Return what the unit may have under that name. Raises AccessDenied, and as a lookup does."""
        allowed = next((each for each in self._policy if _allows(each, wanted)), None)
        if allowed is None:
            raise AccessDenied(
                "no policy gives this unit the credential",
                hint="name unit, credential, application and user in unit_credentials, and start the agent again",
            )
        as_unit = Principal(f"{self._machine}\\{wanted.unit}", Role.SERVER)
        found = self._sso.perform(LookUpCredential(allowed.application, allowed.user), as_=as_unit)
        fields = {label: text.reveal() for label, text in found.fields.items()}
        if allowed.field is None:
            return json.dumps(fields, ensure_ascii=False).encode()
        if allowed.field not in fields:
            raise NotFound(f"{allowed.application} has no field {allowed.field!r}")
        return fields[allowed.field].encode()

    def _accept(self) -> None:
        self._at.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._at, selectors.EVENT_READ)
            while not self._ended.is_set():
                if not selector.select(LOOK_SECONDS):
                    continue
                with contextlib.suppress(BlockingIOError, ConnectionAbortedError):  # it went away
                    self._pool.submit(self._answer, *self._at.accept())

    def _answer(self, connected: socket.socket, address: bytes | str) -> None:
        with connected:
            try:
                connected.settimeout(SECONDS)
                wanted = _asked(connected, address)
            except (OSError, AccessDenied) as error:
                REFUSALS.info("refused whoever asked for a unit's credential", problem=str(error))
                return
            content = NONE
            try:
                content = self.credential(wanted)
                log.info("gave a unit its credential", unit=wanted.unit, credential=wanted.name)
            except KeysvcError as error:
                REFUSALS.error(
                    "a unit gets no credential", unit=wanted.unit, credential=wanted.name, problem=str(error)
                )
            with contextlib.suppress(OSError):  # it went away
                connected.sendall(content)


def _asked(connected: socket.socket, address: bytes | str) -> Wanted:
    """Raises AccessDenied unless it is systemd's system instance: no other account may say for whom it asks."""
    _, user, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if user != 0:
        raise AccessDenied(f"user {user} is not the system's systemd")
    return Wanted.of(address)


def _allows(policy: UnitCredential, wanted: Wanted) -> bool:
    return policy.credential == wanted.name and fnmatchcase(wanted.unit, policy.unit)
