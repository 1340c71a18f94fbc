"""When the next rotation is due: so long after the active version was made. Nothing is kept of it but that version."""

from __future__ import annotations

import time
from datetime import timedelta

from keysvc.model import VersionRecord, utc_now

AGAIN_SECONDS = 60.0


class Schedule:
    """`every` is None where nobody asked for one."""

    def __init__(self, every: timedelta | None) -> None:
        self._every = every
        self._not_before = 0.0

    def is_due(self, active: VersionRecord) -> bool:
        """Whether the rotation after this version is due, and was not tried in vain just now."""
        if self._every is None or utc_now() < active.created_at + self._every:
            return False
        return time.monotonic() >= self._not_before

    def tried_in_vain(self) -> None:
        """The key store could not make a version: ask it again in a minute."""
        self._not_before = time.monotonic() + AGAIN_SECONDS
