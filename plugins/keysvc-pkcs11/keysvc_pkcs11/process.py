"""The token's own process, from the outside: started, asked, stopped when it hangs, started again.

The library of an HSM's vendor never runs in the keysvc process. To start again is to C_Finalize, C_Initialize and log
in again: the one state machine that recovers from everything, and no handle outlives it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections import abc

from keysvc.plugin import KeyStoreError, KeyStoreUnavailable, SealBroken
from keysvc_pkcs11 import child, wire
from keysvc_pkcs11.faults import PIN_REFUSED, Fault, Remedy, fault_of
from keysvc_pkcs11.pin import PIN
from keysvc_pkcs11.uri import TokenURI

log = logging.getLogger("keysvc.pkcs11")
PAUSES_SECONDS = (0.1, 1.0)
_CLOSING_SECONDS = 3.0
_OUR_VARIABLES = "KEYSVC_"  # one may hold the PIN, and none is meant for a library


class _Interrupted(Exception):
    """The call did not come back with an answer; a new process may do better."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class TokenProcess:
    """Any thread may call it; one call runs at a time. A forked process gets a token process of its own."""

    def __init__(self, uri: TokenURI, system_id: str, pin: PIN) -> None:
        self.uri = uri
        self._system_id = system_id
        self._pin = pin
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._answers = True
        self._serial: bytes | None = None
        _open.add(self)

    def call(self, operation: str, *arguments: bytes) -> list[bytes]:
        """Raises SealBroken, KeyStoreUnavailable, KeyStoreError. Operations can be repeated, and are, once or twice,
        when the library crashes, hangs or loses its token. One warning tells of it, and none while that lasts."""
        with self._lock:
            deadline = time.monotonic() + 2 * self.uri.timeout
            for pause in (*PAUSES_SECONDS, None):
                try:
                    answer = self._call_once(operation, arguments)
                except _Interrupted as fault:
                    told = f"the token {self.uri.token_name}: {fault} in {operation}{self._age()}"
                    self._end()
                    if self._answers:
                        log.warning("%s; its process is started again", told)
                    self._answers = False
                    if pause is None or time.monotonic() > deadline:
                        raise KeyStoreUnavailable(told, hint=fault.hint) from None
                    time.sleep(pause)
                else:
                    self._answers = True
                    return answer
        raise AssertionError  # the last pause is None

    def close(self) -> None:
        """Repeatable; a call afterwards opens it again."""
        with self._lock:
            self._end()

    def _call_once(self, operation: str, arguments: abc.Sequence[bytes]) -> list[bytes]:
        if self._running is None:
            self._start()
        assert self._running is not None  # noqa: S101  started just now
        return self._interpret(operation, self._running.ask(operation, arguments, self.uri.timeout))

    def _start(self) -> None:
        pin = self._pin.read()
        try:
            self._running = _Running(self.uri.pin_source.removeprefix("env:"))
        except OSError as error:
            hint = "see what this machine is short of"
            raise _Interrupted(f"no process can be started: {error.strerror}", hint) from None
        may_follow = b"yes" if self._pin.may_follow_a_wrong_one(pin) else b""
        opening = (self.uri.text.encode(), self._system_id.encode(), pin.reveal().encode(), may_follow)
        answer = self._running.ask("open", opening, self.uri.timeout)
        try:
            (serial,) = self._interpret("open", answer)
        except KeyStoreError:
            if answer[0] == child.LIBRARY and _fault(answer).name in PIN_REFUSED:
                self._pin.was_refused(pin)
            self._end()
            raise
        self._pin.was_accepted(pin)
        self._running.logged_in()
        if self._serial not in (None, serial):
            log.warning("the token %s has another serial number now: %s", self.uri.token_name, serial.decode())
        self._serial = serial

    def _interpret(self, operation: str, answer: list[bytes]) -> list[bytes]:
        kind, *parts = answer
        if kind == child.OK:
            return parts
        if kind == child.BROKEN:
            raise SealBroken(parts[0].decode())
        if kind == child.REFUSED:
            raise KeyStoreUnavailable(parts[0].decode(), hint=parts[1].decode())
        fault = _fault(answer)
        if fault.remedy is Remedy.TRANSIENT:
            raise _Interrupted(fault.name, fault.hint)
        told = f"the token {self.uri.token_name}: {fault.name} in {operation}{self._age()}"
        if fault.remedy is Remedy.OPERATOR:
            raise KeyStoreUnavailable(told, hint=fault.hint)
        raise KeyStoreError(told, hint=fault.hint)

    def _age(self) -> str:
        return self._running.age() if self._running else ""

    def _end(self) -> None:
        if self._running is not None:
            self._running.end()
            self._running = None

    def _after_fork(self) -> None:
        """In the forked process: the pipes and the login belong to the parent."""
        self._lock = threading.Lock()
        if self._running is not None:
            self._running.leave_to_parent()
            self._running = None


def _fault(answer: list[bytes]) -> Fault:
    return fault_of(answer[1].decode(), answer[2].decode())


class _Running:
    """One process, from its start to its end. It does not see the environment variable `withheld`, nor keysvc's own."""

    def __init__(self, withheld: str) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_OUR_VARIABLES) and name != withheld
        }
        isolation = "-I" if sys.flags.isolated else "-P"
        self.process = subprocess.Popen(
            [sys.executable, isolation, "-m", child.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            start_new_session=True,  # Ctrl-C in a terminal is for keysvc, which then closes this process in order
        )
        self._answers: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="pkcs11-answers", daemon=True)
        self._reader.start()
        self._waiting = False
        self._logged_in_at: float | None = None
        self._used_at = time.monotonic()

    def ask(self, operation: str, arguments: abc.Sequence[bytes], timeout: float) -> list[bytes]:
        """Raises _Interrupted."""
        own_limit = str(int(timeout) + 5).encode()
        self._waiting = True
        try:
            wire.write(self.process.stdin, [own_limit, operation.encode(), *arguments])  # type: ignore[arg-type]
            answer = self._answers.get(timeout=timeout)
        except queue.Empty:
            raise _Interrupted(f"no answer within {timeout:g} s", "see the log of the token's service") from None
        except OSError:
            answer = None
        if answer is None:
            raise _Interrupted(
                f"the library ended its process ({self._how_it_ended()})", "report the crash to the library's vendor"
            )
        self._waiting = False
        self._used_at = time.monotonic()
        return answer

    def logged_in(self) -> None:
        """The session begins."""
        self._logged_in_at = time.monotonic()

    def age(self) -> str:
        """Operators of HSMs ask for it: idle time-outs show here."""
        if self._logged_in_at is None:
            return ""
        now = time.monotonic()
        return f" (logged in {now - self._logged_in_at:.0f} s ago, last used {now - self._used_at:.0f} s ago)"

    def end(self) -> None:
        """In order, so that the token's service forgets the session too; by force when it is stuck in a call."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        if self._waiting or not self._ends_within(_CLOSING_SECONDS):
            self.process.kill()
            self._ends_within(_CLOSING_SECONDS)
        self._reader.join(_CLOSING_SECONDS)
        if not self._reader.is_alive():
            self.process.stdout.close()  # type: ignore[union-attr]

    def leave_to_parent(self) -> None:
        """Close our copies of its pipes, and never wait for a process that is not our child."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self.process.returncode = 0

    def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            return True
        return False

    def _how_it_ended(self) -> str:
        self._ends_within(_CLOSING_SECONDS)
        status = self.process.poll()
        return "still running" if status is None else f"signal {-status}" if status < 0 else f"status {status}"

    def _read(self) -> None:
        """In a thread, because a time-out must hold on every platform, and for a library stuck in its kernel driver."""
        try:
            while (answer := wire.read(self.process.stdout)) is not None:  # type: ignore[arg-type]
                self._answers.put(answer)
        except (OSError, ValueError):
            pass
        self._answers.put(None)


_open: weakref.WeakSet[TokenProcess] = weakref.WeakSet()


def _after_fork() -> None:
    for process in list(_open):
        process._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
