"""Keeping the memory of a process that holds secrets to itself, as far as the platform and Python allow."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4
_NOT_DUMPABLE = 0


def harden_process() -> tuple[str, ...]:
    """No core files, and on Linux no reading of this process's memory by others of the same user.

    Returns a line for each protection that could not be had. Python copies and does not erase: nothing here keeps a
    secret from root.
    """
    missing: list[str] = []
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        missing.append("core files could not be turned off")
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, _NOT_DUMPABLE, 0, 0, 0) != 0:
        missing.append("the process could not be made undumpable")
    return tuple(missing)
