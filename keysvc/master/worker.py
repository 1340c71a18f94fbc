"""A thread of the master secret server that repeats one step, answers no-ops between, and says when it fails."""

from __future__ import annotations

import threading
from collections import abc

from keysvc.errors import Fenced, KeysvcError
from keysvc.plugin.background import lasting
from keysvc.plugin.heartbeat import NoOp, Resting
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.master")

Step = abc.Callable[[], float]
"""Does what is due. Returns for how many seconds to rest; 0 when there is more to do at once."""


class Worker:
    """Any thread may call any method. `stop` ends it after the step that it is in; so does Fenced."""

    def __init__(self, what: str, step: Step, rest_seconds: float) -> None:
        """`what` is the subject of its log lines. It rests `rest_seconds` after a step that failed."""
        self._what, self._step, self._rest_seconds = what, step, rest_seconds
        self._resting = Resting()
        self._stopping = False
        self._problem = ""
        self._thread = lasting(what, self._run, lambda: self._stopping)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no other step. Idempotent, and does not wait: see `join`."""
        self._stopping = True
        self._resting.wake()

    def join(self) -> None:
        """Wait for the end of the step that it is in, unless this thread is it."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def wake(self) -> None:
        """Take the next step now."""
        self._resting.wake()

    def ask(self, no_op: NoOp) -> None:
        """Hand over a no-op, which is called between two steps."""
        self._resting.ask(no_op)

    def _run(self) -> None:
        while not self._stopping:
            pause = self._rest_seconds
            try:
                pause = self._step()
                self._tell("")
            except Fenced:
                return
            except KeysvcError as error:
                self._tell(str(error))
            except Exception as error:  # noqa: BLE001  it must not end in silence
                self._tell(f"unexpected {type(error).__name__}")
            self._resting.rest(pause)

    def _tell(self, problem: str) -> None:
        """Log one line when something goes wrong, and one when it is over, however often it is tried meanwhile."""
        if problem == self._problem:
            return
        if problem:
            log.warning(f"{self._what} tries again", problem=problem)
        else:
            log.info(f"{self._what} works again")
        self._problem = problem
