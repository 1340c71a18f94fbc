"""A clock for leases and permissions."""

from __future__ import annotations

import functools
import sys
import time

if sys.platform == "linux":
    elapsed = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    """Seconds of a clock that no one can set, and that goes on while the machine sleeps."""
else:
    elapsed = time.monotonic
