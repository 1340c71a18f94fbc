"""A person at a terminal: questions are answered where they are asked, unseen or not."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections import abc

PATIENCE_SECONDS = 60


def on_a_terminal(
    command: abc.Sequence[str], environment: abc.Mapping[str, str], answer: abc.Callable[[str], str], status: int = 0
) -> str:
    """Run a command on a terminal. `answer` is given all that was shown since the last answer, at each question."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background has it ignored
        os.execvpe(command[0], command, {**os.environ, **environment, "TERM": "dumb"})
    shown, told, deadline = "", "", time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            new = os.read(terminal, 4096).decode()
        except OSError:
            break
        shown += new
        if shown.endswith(": ") and not select.select([terminal], [], [], 0.2)[0]:  # nothing follows, and echo is off
            os.write(terminal, answer(shown).encode() + b"\n")
            told, shown = told + shown, ""
    else:
        os.kill(child, signal.SIGKILL)  # it waits for an answer that nobody gives
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status, shown
    return told + shown
