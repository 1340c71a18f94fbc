"""Signs of life: whether the threads that do the work still get to it. A thread that answers a no-op is alive; one that
hangs in a call, or an event loop that somebody blocks, is not, however well the process looks from outside."""

from __future__ import annotations

import threading
from collections import abc

from keysvc.plugin.clock import elapsed

BEAT_SECONDS = 1.0
"""How often each thread is asked."""

NoOp = abc.Callable[[], object]
Ask = abc.Callable[[NoOp], object]
"""Hand a no-op to a thread, which calls it when it gets to it. Does not wait."""
Silent = abc.Callable[[float], abc.Collection[str]]
"""Return the names of the threads that answered no no-op within the last so many seconds."""


def nobody_silent(_seconds: float) -> abc.Collection[str]:
    """Answer for a process in which nobody is watched."""
    return ()


class Resting:
    """Where a thread rests between its steps. It answers no-ops there at once, and does not wake up for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._no_ops: dict[NoOp, None] = {}
        self._is_woken = False

    def ask(self, no_op: NoOp) -> None:
        """Hand over a no-op; the same one waits once. Any thread may call it."""
        with self._changed:
            self._no_ops[no_op] = None
            self._changed.notify_all()

    def wake(self) -> None:
        """End this rest, or the next one. Any thread may call it."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def answer(self) -> None:
        """Answer what was asked, between two parts of a long step."""
        with self._changed:
            no_ops, self._no_ops = self._no_ops, {}
        for no_op in no_ops:
            no_op()

    def rest(self, seconds: float) -> None:
        """Wait until `wake`, for so many seconds at most. Answers what was asked, also when `seconds` is 0."""
        until = elapsed() + seconds
        while True:
            self.answer()
            with self._changed:
                left = until - elapsed()
                if self._no_ops:
                    continue
                if self._is_woken or left <= 0:
                    self._is_woken = False
                    return
                self._changed.wait(left)


class _Part:
    """One thread that is watched. It is asked at every beat: the thread that was asked before may have ended, and
    another may do its work now."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.answered_at = elapsed()

    def beat(self) -> None:
        self._ask(self._answered)

    def _answered(self) -> None:
        self.answered_at = elapsed()


class Heart:
    """Asks every watched thread for a sign of life, again and again, in a thread of its own. Thread-safe."""

    def __init__(self, after_beat: abc.Callable[[], object] = lambda: None, *, interval: float = BEAT_SECONDS) -> None:
        """`after_beat` is called after each round. The `interval`, in seconds, is well below what `silent` is asked."""
        self._parts: dict[str, _Part] = {}
        self._after_beat, self._interval = after_beat, interval
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heart", daemon=True)

    def watch(self, name: str, ask: Ask) -> None:
        """Ask this thread too, from now on."""
        self._parts[name] = _Part(ask)

    @property
    def parts(self) -> abc.Sequence[str]:
        """The names of the threads that are watched."""
        return tuple(self._parts)

    def silent(self, seconds: float) -> abc.Sequence[str]:
        """Return the names of the threads that answered no no-op within the last so many seconds."""
        since = elapsed() - seconds
        return tuple(name for name, part in list(self._parts.items()) if part.answered_at < since)

    def since(self) -> abc.Mapping[str, float]:
        """Return for each thread how many seconds ago it answered."""
        now = elapsed()
        return {name: max(0.0, now - part.answered_at) for name, part in list(self._parts.items())}

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat_on(self) -> None:
        while not self._ended.wait(self._interval):
            for part in list(self._parts.values()):
                part.beat()
            self._after_beat()
