"""When an SSO server polls."""

from __future__ import annotations

from collections import abc

import pytest
from systems import POLL_INTERVAL, InProcessMaster, System

from keysvc.sso.poller import Poller
from keysvc.sso.version_cache import VersionCache

SERVERS = 60


class Pauses:
    """Instead of waiting: notes the pauses, and ends after so many. `between` is called before each."""

    def __init__(self, count: int, between: abc.Callable[[int], None] = lambda _number: None) -> None:
        self.noted: list[float] = []
        self._count, self._between = count, between

    def rest(self, seconds: float) -> None:
        self.noted.append(seconds / POLL_INTERVAL.total_seconds())
        self._between(len(self.noted))

    def is_set(self) -> bool:
        return len(self.noted) == self._count


def pauses(system: System, count: int, between: abc.Callable[[InProcessMaster, int], None]) -> list[list[float]]:
    """Of many SSO servers, as parts of the poll interval."""
    found = []
    for number in range(SERVERS):
        link = InProcessMaster(system, f"web-{number}")
        poller = Poller(link, VersionCache(), system.system_id, after_poll=lambda: None, on_revoked=lambda: None)
        poller._try()
        poller._stopping = poller._resting = Pauses(count, lambda at, link=link: between(link, at))
        poller._poll_for_ever()
        found.append(poller._resting.noted)
    return found


def are_spread(parts: list[float]) -> bool:
    return min(parts) < 0.3 and max(parts) > 0.7 and max(parts) <= 1.1


@pytest.mark.parametrize("outage", [False, True])
def test_polls_of_servers_that_started_or_found_a_master_at_once_are_spread_over_the_interval(
    system: System, outage: bool
) -> None:
    system.start()

    def between(link: InProcessMaster, pause: int) -> None:
        link.down = outage and pause == 2  # the poll after the second pause fails, the next one does not

    found = pauses(system, 4, between)
    assert are_spread([each[0] for each in found])
    assert all(0.9 <= each[1] <= 1.1 for each in found)
    assert are_spread([each[3] for each in found]) == outage
