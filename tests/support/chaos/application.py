"""An SSO server embedded in an application, which stores and looks up credentials all the time and notes what it saw:
python -m chaos.application CONFIG HISTORY NAME SEED KEYS"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import sys
import threading
import time
from collections import abc
from pathlib import Path
from typing import Any

import keysvc
from chaos import breaking
from chaos.history import History
from keysvc.errors import KeysvcError, NotFound
from keysvc.sso import SSO
from keysvc.sso.version_cache import VersionCache, elapsed
from keysvc.web.master.failover import ActiveMaster

APPLICATION = "SAP"
WAYS = "CHAOS_WAYS"
THREADS = 3
PAUSE_SECONDS = (0.005, 0.04)


def go_by_the_ways() -> None:
    """Each master, wherever its address was found, is reached by this process's way to it, which can be cut."""
    ways, connect = json.loads(os.environ[WAYS]), ActiveMaster._connect
    ActiveMaster._connect = lambda self, url: connect(self, ways[url])  # type: ignore[method-assign]


def note_what_is_known(history: History) -> None:
    """Each announcement that is taken over, each permission to encrypt, and from when on it counts."""
    replace, permit = VersionCache.replace, VersionCache.permit

    @functools.wraps(replace)
    def noted_replace(self: VersionCache, announcement: Any, fetched: Any) -> None:
        replace(self, announcement, fetched)
        versions = {str(record.version): record.state.value for record in announcement.versions}
        held = announcement.numbers_of(self.held())
        history.note("announced", epoch=announcement.epoch, versions=versions, held=held)

    @functools.wraps(permit)
    def noted_permit(self: VersionCache, since: float, *more: int) -> None:
        before, offset = time.monotonic(), time.monotonic() - elapsed()
        permit(self, since, *more)
        history.note("permitted", since=since + offset, before=before)

    VersionCache.replace, VersionCache.permit = noted_replace, noted_permit  # type: ignore[method-assign]


class Application:
    """Threads that each do one thing after the other, with keys that all applications share."""

    def __init__(self, sso: SSO, history: History, name: str, seed: str, keys: int) -> None:
        self._sso, self._history, self._name, self._seed = sso, history, name, seed
        self._keys = [f"user-{number}" for number in range(keys)]
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(THREADS)]

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        drawn = random.Random(f"{self._seed} {number}")
        count = 0
        while not self.stopping.wait(drawn.uniform(*PAUSE_SECONDS)):
            count += 1
            key = drawn.choice(self._keys)
            match drawn.randrange(10):
                case 0 | 1 | 2:
                    self._write(key, f"{self._name}-{os.getpid()}-{number}-{count}")
                case 3 | 4 | 5:
                    self._look_up("cached", key)
                case _:
                    self._look_up("fresh", key)

    def _write(self, key: str, value: str) -> None:
        call = self._history.call("write", key, value)
        self._noted(call, lambda: (value, self._sso.set_credential(APPLICATION, user=key, password=value)))

    def _look_up(self, action: str, key: str) -> None:
        call = self._history.call(action, key)

        def look() -> tuple[str | None, int]:
            try:
                found = self._sso.credential(APPLICATION, user=key, fresh=action == "fresh")
            except NotFound:
                return None, 0
            return found["password"].reveal(), found.version

        self._noted(call, look)

    def _noted(self, call: int, operate: abc.Callable[[], tuple[str | None, int]]) -> None:
        try:
            value, version = operate()
        except KeysvcError as error:
            self._history.answer(call, error=error.code, why=str(error))
        except Exception as error:
            self._history.answer(call, error=type(error).__name__, why=str(error))
        else:
            self._history.answer(call, value=value, version=version)


def main(config: str, path: str, name: str, seed: str, keys: str) -> None:
    breaking.apply()
    go_by_the_ways()
    history = History(Path(path))
    note_what_is_known(history)
    history.note("began", process=os.getpid())
    with keysvc.connect(config) as sso:
        application = Application(sso, history, name, seed, int(keys))
        signal.signal(signal.SIGTERM, lambda *_: application.stopping.set())
        application.run()
    history.note("ended")


if __name__ == "__main__":
    main(*sys.argv[1:])
